//! A document that is ready to send: its bytes as they are and compressed, each with its `ETag`,
//! made once and sent many times.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderValue;
use http::header::GetAll;
use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::negotiate::matches_etag;

/// Below this, compressing saves no packet.
const GZIP_BYTES_MIN: usize = 1024;

/// A rendered document. It holds nothing about who asks.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its media type.
    pub(crate) content_type: HeaderValue,
    /// The request headers that choose between this and other answers.
    pub(crate) vary: Option<HeaderValue>,
    plain: Form,
    gzip: Option<Form>,
}

/// The bytes of a document in one encoding.
#[derive(Debug)]
pub(crate) struct Form {
    /// To be sent as they are.
    pub(crate) body: Bytes,
    /// Strong, made from the bytes.
    pub(crate) etag: HeaderValue,
    /// The content encoding, if there is one.
    pub(crate) encoding: Option<HeaderValue>,
}

impl Document {
    /// Renders a value in one form, for answers that are small or seldom asked for.
    pub(crate) fn render(
        content_type: &'static str,
        value: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_vec(value)?.into_boxed_slice();
        Ok(Self::plain(content_type, json.into()))
    }

    /// Renders a value with a compressed form beside the plain one. That takes a while for large
    /// ones: not on a thread that serves. `vary` names all headers that choose.
    pub(crate) fn render_with_gzip(
        content_type: &'static str,
        vary: &'static str,
        value: &impl Serialize,
    ) -> Result<Self, serde_json::Error> {
        let mut document = Self::render(content_type, value)?;
        document.vary = Some(HeaderValue::from_static(vary));
        let body = &document.plain.body;
        if body.len() >= GZIP_BYTES_MIN {
            let gzip = compress(body).map_err(serde_json::Error::io)?;
            document.gzip = Some(Form::new(gzip, Some(HeaderValue::from_static("gzip"))));
        }
        Ok(document)
    }

    /// JSON that is there already, shared and not copied.
    pub(crate) fn of_json(json: Arc<RawValue>) -> Self {
        struct Text(Arc<RawValue>);
        impl AsRef<[u8]> for Text {
            fn as_ref(&self) -> &[u8] {
                self.0.get().as_bytes()
            }
        }
        Self::plain("application/json", Bytes::from_owner(Text(json)))
    }

    fn plain(content_type: &'static str, body: Bytes) -> Self {
        Self {
            content_type: HeaderValue::from_static(content_type),
            vary: None,
            plain: Form::new(body, None),
            gzip: None,
        }
    }

    /// How many bytes it has in all its forms.
    pub(crate) fn bytes(&self) -> usize {
        let gzip = self.gzip.as_ref().map_or(0, |form| form.body.len());
        self.plain.body.len() + gzip
    }

    /// The form to send.
    pub(crate) fn form(&self, takes_gzip: bool) -> &Form {
        match &self.gzip {
            Some(gzip) if takes_gzip => gzip,
            _ => &self.plain,
        }
    }

    /// The `ETag` by which a client has the document already, in whatever form: the bytes it
    /// would get hold the same. The one it told, so that a cache finds what it kept.
    pub(crate) fn known_etag(
        &self,
        if_none_match: &GetAll<'_, HeaderValue>,
        takes_gzip: bool,
    ) -> Option<&HeaderValue> {
        let chosen = self.form(takes_gzip);
        let other = self.form(!takes_gzip);
        let mut etags = [&chosen.etag, &other.etag].into_iter();
        etags.find(|etag| matches_etag(if_none_match, etag))
    }
}

impl Form {
    fn new(body: Bytes, encoding: Option<HeaderValue>) -> Self {
        let hash = Sha256::digest(&body);
        let short = hash.get(..18).unwrap_or_default();
        let etag = format!("\"{}\"", BASE64URL_NOPAD.encode_display(short));
        Self {
            body,
            // INVARIANT: quotes and base64url are header bytes.
            etag: HeaderValue::try_from(etag).unwrap_or(HeaderValue::from_static("\"\"")),
            encoding,
        }
    }
}

fn compress(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?.into_boxed_slice().into())
}
