//! Where packages lie: a directory, or a bucket of an S3-compatible service.

use std::fmt;
use std::path::{Path as FilePath, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

/// How long a service may be silent before a request is given up.
const SILENCE_MAX: Duration = Duration::from_mins(2);

/// Where the gate's own packages lie.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum StoreUrl {
    /// A local directory: `/path` or `file:///path`.
    Dir(PathBuf),
    /// `s3://bucket` or `s3://bucket/prefix`.
    S3 {
        /// The bucket.
        bucket: String,
        /// What the names of all objects begin with; empty for none.
        prefix: String,
    },
}

/// The text names no store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a store is a directory (`/path`, `file:///path`) or `s3://bucket/prefix`")]
pub struct StoreUrlError;

/// What a bucket is reached with: lines `name = value` with the names of the `AWS_…` variables,
/// such as `aws_access_key_id`, in either case. They win over the variables.
#[derive(Clone, Default)]
pub struct StoreOptions(Vec<(AmazonS3ConfigKey, SecretString)>);

/// A line of the options cannot be read. Its value is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the store's options is no `name = value` with the name of an AWS variable")]
pub struct StoreOptionsError {
    line: usize,
}

/// The store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory cannot be made or written to.
    #[error("the package directory `{}` cannot be used", path.display())]
    Dir {
        /// Which directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// What is known of the bucket does not make a client.
    #[error("the bucket `{bucket}` cannot be used; check its region, endpoint and credentials")]
    Bucket {
        /// Which bucket.
        bucket: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
}

impl StoreUrl {
    /// Opens it; a directory is made if it is not there.
    pub(super) fn open(&self, options: &StoreOptions) -> Result<Arc<dyn ObjectStore>, StoreError> {
        match self {
            Self::Dir(dir) => open_dir(dir),
            Self::S3 { bucket, prefix } => {
                let s3 = client(bucket, options).map_err(|source| StoreError::Bucket {
                    bucket: bucket.clone(),
                    source,
                })?;
                if prefix.is_empty() {
                    return Ok(Arc::new(s3));
                }
                Ok(Arc::new(PrefixStore::new(s3, Path::from(prefix.as_str()))))
            }
        }
    }
}

fn open_dir(dir: &FilePath) -> Result<Arc<dyn ObjectStore>, StoreError> {
    let unusable = |source| StoreError::Dir {
        path: dir.to_owned(),
        source,
    };
    std::fs::create_dir_all(dir).map_err(unusable)?;
    // Better now than at the first publish.
    let probe = dir.join(format!(".probe-{}", std::process::id()));
    std::fs::write(&probe, []).map_err(unusable)?;
    std::fs::remove_file(&probe).map_err(unusable)?;
    let objects = LocalFileSystem::new_with_prefix(dir)
        .map_err(|error| unusable(std::io::Error::other(error)))?;
    Ok(Arc::new(objects.with_fsync(true)))
}

fn client(bucket: &str, options: &StoreOptions) -> object_store::Result<impl ObjectStore + use<>> {
    // A large tarball takes as long as its reader takes: only silence ends a request.
    let patient = ClientOptions::new()
        .with_timeout_disabled()
        .with_read_timeout(SILENCE_MAX);
    let mut builder = AmazonS3Builder::new().with_client_options(patient);
    for (name, value) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    for (key, value) in &options.0 {
        builder = builder.with_config(*key, value.expose_secret());
    }
    builder = builder.with_bucket_name(bucket);
    let endpoints = [AmazonS3ConfigKey::Endpoint, AmazonS3ConfigKey::S3Endpoint];
    let endpoints = endpoints
        .iter()
        .filter_map(|key| builder.get_config_value(key));
    // Whoever writes a plain address means it. No secret travels in a signed request.
    if endpoints.into_iter().any(|url| url.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    builder.build()
}

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.contains("://") && !text.is_empty() {
            return Ok(Self::Dir(text.into()));
        }
        let url = Url::parse(text).map_err(|_| StoreUrlError)?;
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.port().is_none();
        match (url.scheme(), url.host_str()) {
            ("file", None) if bare => {
                let dir = url.to_file_path().map_err(|()| StoreUrlError)?;
                Ok(Self::Dir(dir))
            }
            ("s3", Some(bucket)) if bare && !bucket.is_empty() => {
                let prefix = url.path().trim_matches('/');
                // Escapes and empty parts would be names that look alike and are not.
                let plain = |part: &str| !part.is_empty() && !matches!(part, "." | "..");
                if prefix.contains('%') || !prefix.is_empty() && !prefix.split('/').all(plain) {
                    return Err(StoreUrlError);
                }
                Ok(Self::S3 {
                    bucket: bucket.to_owned(),
                    prefix: prefix.to_owned(),
                })
            }
            _ => Err(StoreUrlError),
        }
    }
}

impl TryFrom<String> for StoreUrl {
    type Error = StoreUrlError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(dir) => dir.display().fmt(f),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

impl FromStr for StoreOptions {
    type Err = StoreOptionsError;

    /// Empty lines, comments (`#`) and headings (`[default]`) are passed over.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let lines = text.lines().map(str::trim).enumerate();
        let telling = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', '[']));
        let options = telling.map(|(at, line)| {
            let error = StoreOptionsError { line: at + 1 };
            let (name, value) = line.split_once('=').ok_or(error.clone())?;
            let key = name
                .trim()
                .to_ascii_lowercase()
                .parse()
                .map_err(|_| error)?;
            Ok((key, SecretString::from(value.trim())))
        });
        options.collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Debug for StoreOptions {
    /// Names alone: values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(key, _)| key))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s3(bucket: &str, prefix: &str) -> StoreUrl {
        let (bucket, prefix) = (bucket.to_owned(), prefix.to_owned());
        StoreUrl::S3 { bucket, prefix }
    }

    #[test]
    fn a_store_is_a_directory_or_a_bucket() {
        for (text, store) in [
            ("./data", StoreUrl::Dir("./data".into())),
            (
                "/var/lib/packages",
                StoreUrl::Dir("/var/lib/packages".into()),
            ),
            (
                "file:///var/lib/packages",
                StoreUrl::Dir("/var/lib/packages".into()),
            ),
            ("s3://acme", s3("acme", "")),
            ("s3://acme/", s3("acme", "")),
            ("s3://acme/npm/packages/", s3("acme", "npm/packages")),
        ] {
            assert_eq!(text.parse(), Ok(store), "{text}");
        }
        for text in [
            "",
            "s3://",
            "s3:///prefix",
            "s3://key:secret@acme/x",
            "s3://acme/x?region=eu",
            "s3://acme/x#y",
            "s3://acme/a//b",
            "s3://acme/a%2fb",
            "gs://acme",
            "http://acme/x",
            "file://host/x",
        ] {
            assert_eq!(text.parse::<StoreUrl>(), Err(StoreUrlError), "{text}");
        }
    }

    #[test]
    fn options_are_lines_and_never_shown() {
        let text = "[default]\n# a comment\n\naws_access_key_id = AKIA1\nAWS_SECRET_ACCESS_KEY=hush=hush\n\
                    aws_region = eu-1\naws_endpoint_url = http://127.0.0.1:9\n";
        let options: StoreOptions = text.parse().unwrap();
        let value = |key| {
            let mut all = options.0.iter();
            all.find(|(one, _)| *one == key)
                .map(|(_, value)| value.expose_secret())
        };
        assert_eq!(value(AmazonS3ConfigKey::SecretAccessKey), Some("hush=hush"));
        assert_eq!(value(AmazonS3ConfigKey::Region), Some("eu-1"));
        let shown = format!("{options:?}");
        assert!(
            shown.contains("SecretAccessKey") && !shown.contains("hush"),
            "{shown}"
        );

        for (text, line) in [("nonsense", 1), ("\naws_nonsense = x", 2), ("hush hush", 1)] {
            let error = text.parse::<StoreOptions>().unwrap_err();
            assert_eq!(error, StoreOptionsError { line });
            assert!(!error.to_string().contains("hush"));
        }
    }
}
