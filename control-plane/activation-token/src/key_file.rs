//! The forms in which a signing key lies in a file: PKCS#8 as PEM or DER, plain or under a
//! passphrase, and the private JWK.
//!
//! The form is told from the content. Whatever is no Ed25519 private key is named in the error,
//! since people mix these files up.

use std::borrow::Cow;

use data_encoding::BASE64URL_NOPAD;
use ed25519_dalek::pkcs8::KeypairBytes;
use pkcs8::der::asn1::AnyRef;
use pkcs8::der::pem::LineEnding;
use pkcs8::der::{Decode, SecretDocument};
use pkcs8::pkcs5::pbes2::{Kdf, Parameters, Pbkdf2Params};
use pkcs8::pkcs5::{EncryptionScheme, scrypt};
use pkcs8::{
    EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef,
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::compact::object;
use crate::keys::KeyError;
use crate::signing::{SignError, SigningKey};

/// No key file is longer, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// scrypt as OWASP lists it for 16 MiB; with more memory `openssl pkey` would refuse.
const SCRYPT: (u8, u32, u32) = (14, 8, 5);
/// A given file may ask for so much memory, in bytes, so often. More is a mistake.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;
const SCRYPT_PARALLEL_MAX: u16 = 64;

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// Why a file gives no signing key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFileError {
    /// Nothing in it.
    #[error("the file is empty")]
    Empty,
    /// A public key, which signs nothing (POT-30).
    #[error("this is a public key alone; the private half is needed to sign")]
    PublicOnly,
    /// Another kind of key, or something that is no key.
    #[error(
        "this is {0}, and tokens are signed with an Ed25519 key\n  \
         hint: `openssl genpkey -algorithm ed25519` makes one"
    )]
    NotEd25519(&'static str),
    /// The beginning of a key.
    #[error("the key is cut off; copy the whole file")]
    CutOff,
    /// More than one thing.
    #[error("the file holds more than one key or certificate; leave the private key alone in it")]
    Several,
    /// Like a key, but broken.
    #[error("the key is damaged; take it from a backup")]
    Damaged,
    /// Nothing known.
    #[error("this is no private key in PKCS#8 PEM, PKCS#8 DER or JWK form")]
    Unknown,
    /// Encrypted, and there is nothing to decrypt it with.
    #[error(
        "the key is encrypted, and no passphrase is given\n  \
         hint: set `key-passphrase-file` or TOLLGATE_KEY_PASSPHRASE"
    )]
    PassphraseMissing,
    /// Encrypted with another passphrase, or damaged: nothing can tell these apart.
    #[error("the passphrase is not the one the key was encrypted with, or the key is damaged")]
    PassphraseWrong,
    /// Encrypted in a way that is not read.
    #[error(
        "the key is encrypted in a way that is not read\n  \
         hint: `openssl pkcs8 -topk8 -v2 aes-256-cbc` encrypts it anew"
    )]
    Cipher,
    /// Two halves of different keys. To sign with such a pair gives the private half away.
    #[error("the public half in the file does not belong to the private half")]
    Mismatch,
    /// A JWK with a member that is wrong or unknown.
    #[error("the JWK is not that of an Ed25519 signing key: {0}")]
    Jwk(&'static str),
    /// The public half is unsound.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl SigningKey {
    /// Reads a key file whose form is told from its content. The passphrase is used where the
    /// key is encrypted.
    pub fn from_file_bytes(
        bytes: &[u8],
        passphrase: Option<&SecretString>,
    ) -> Result<Self, KeyFileError> {
        let text = bytes.trim_ascii();
        if text.is_empty() {
            return Err(KeyFileError::Empty);
        }
        if bytes.len() > FILE_BYTES_MAX {
            return Err(KeyFileError::Unknown);
        }
        match (bytes, text) {
            // Untrimmed: the last byte of a DER file may look like a blank.
            ([0x30, ..], _) => from_der(bytes, passphrase),
            (_, [b'{' | b'[', ..]) => from_jwk(text),
            _ => from_pem(text, passphrase),
        }
    }

    /// Whether a PEM file holds an encrypted key.
    pub fn is_encrypted_pem(bytes: &[u8]) -> bool {
        bytes
            .trim_ascii_start()
            .starts_with(format!("-----BEGIN {ENCRYPTED}-----").as_bytes())
    }

    /// The key as PKCS#8 under a passphrase (PBES2: scrypt, AES-256-CBC), which
    /// `openssl pkey -passin` reads. `random` becomes salt and initialization vector.
    pub fn to_encrypted_pem(
        &self,
        passphrase: &SecretString,
        random: &[u8; 32],
    ) -> Result<Zeroizing<String>, SignError> {
        let (salt, iv) = random.split_at(16);
        let (log_n, r, p) = SCRYPT;
        let cost = scrypt::Params::new(log_n, r, p).map_err(|_| SignError::Signer)?;
        let iv: [u8; 16] = iv.try_into().map_err(|_| SignError::Signer)?;
        let scheme = Parameters::generate_scrypt_aes256cbc(cost, salt, iv);
        let der = self.to_der()?;
        let sealed = scheme
            .map_err(pkcs8::Error::from)
            .and_then(|scheme| {
                PrivateKeyInfoRef::try_from(der.as_bytes())?
                    .encrypt_with_params(scheme, passphrase.expose_secret())
            })
            .map_err(|_| SignError::Signer)?;
        sealed
            .to_pem(ENCRYPTED, LineEnding::LF)
            .map_err(|_| SignError::Signer)
    }
}

fn from_pem(text: &[u8], passphrase: Option<&SecretString>) -> Result<SigningKey, KeyFileError> {
    const BEGIN: &str = "-----BEGIN ";
    let text = std::str::from_utf8(text).map_err(|_| KeyFileError::Unknown)?;
    // Tools put remarks before and after the key.
    let Some((_, block)) = text.split_once(BEGIN) else {
        let begun = BEGIN.starts_with(text);
        return Err(if begun {
            KeyFileError::CutOff
        } else {
            KeyFileError::Unknown
        });
    };
    if block.contains(BEGIN) {
        return Err(KeyFileError::Several);
    }
    let (label, _) = block.split_once("-----").ok_or(KeyFileError::CutOff)?;
    match label {
        "PRIVATE KEY" | ENCRYPTED => {}
        "PUBLIC KEY" | "RSA PUBLIC KEY" => return Err(KeyFileError::PublicOnly),
        "CERTIFICATE" | "X509 CERTIFICATE" => {
            return Err(KeyFileError::NotEd25519("a certificate"));
        }
        "RSA PRIVATE KEY" => return Err(KeyFileError::NotEd25519("an RSA key")),
        "EC PRIVATE KEY" | "EC PARAMETERS" => return Err(KeyFileError::NotEd25519("an EC key")),
        "DSA PRIVATE KEY" => return Err(KeyFileError::NotEd25519("a DSA key")),
        "OPENSSH PRIVATE KEY" => {
            return Err(KeyFileError::NotEd25519("a key in OpenSSH's own form"));
        }
        _ => return Err(KeyFileError::Unknown),
    }
    let end = format!("-----END {label}-----");
    let (block, _) = block.split_once(&end).ok_or(KeyFileError::CutOff)?;
    let pem = Zeroizing::new(format!("{BEGIN}{block}{end}\n"));
    let (_, der) = SecretDocument::from_pem(&pem).map_err(|_| KeyFileError::Damaged)?;
    from_der(der.as_bytes(), passphrase)
}

fn from_der(der: &[u8], passphrase: Option<&SecretString>) -> Result<SigningKey, KeyFileError> {
    if let Ok(info) = PrivateKeyInfoRef::from_der(der) {
        return from_info(info);
    }
    if let Ok(sealed) = EncryptedPrivateKeyInfoRef::from_der(der) {
        let passphrase = passphrase.ok_or(KeyFileError::PassphraseMissing)?;
        check_cost(&sealed.encryption_algorithm)?;
        let opened = sealed
            .decrypt(passphrase.expose_secret())
            .map_err(|error| match error {
                pkcs8::Error::EncryptedPrivateKey(
                    pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }
                    | pkcs8::pkcs5::Error::NoPbes1CryptSupport
                    | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. },
                ) => KeyFileError::Cipher,
                _ => KeyFileError::PassphraseWrong,
            })?;
        let info = PrivateKeyInfoRef::from_der(opened.as_bytes())
            .map_err(|_| KeyFileError::PassphraseWrong)?;
        return from_info(info);
    }
    if SubjectPublicKeyInfoRef::from_der(der).is_ok() {
        return Err(KeyFileError::PublicOnly);
    }
    Err(what_der(der))
}

/// What a DER text is that is no PKCS#8.
fn what_der(der: &[u8]) -> KeyFileError {
    use pkcs8::der::ErrorKind;
    let whole = match AnyRef::from_der(der) {
        Ok(whole) => whole,
        Err(error) if matches!(error.kind(), ErrorKind::Incomplete { .. }) => {
            return KeyFileError::CutOff;
        }
        Err(_) => return KeyFileError::Damaged,
    };
    // Version 0 or 1, then an INTEGER (RSA) or an OCTET STRING of key size (EC); before PKCS#8
    // each kind had a form of its own. An encrypted key begins with a SEQUENCE that is an OID.
    match whole.value() {
        [2, 1, 0, 2, ..] => KeyFileError::NotEd25519("an RSA key"),
        [2, 1, 1, 4, ..] => KeyFileError::NotEd25519("an EC key"),
        [0x30, _, 6, ..] => KeyFileError::Cipher,
        _ => KeyFileError::Damaged,
    }
}

fn from_info(info: PrivateKeyInfoRef<'_>) -> Result<SigningKey, KeyFileError> {
    const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
    const KINDS: [(ObjectIdentifier, &str); 7] = [
        (
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"),
            "an RSA key",
        ),
        (
            ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"),
            "an RSA key",
        ),
        (
            ObjectIdentifier::new_unwrap("1.2.840.10045.2.1"),
            "an EC key",
        ),
        (
            ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"),
            "a DSA key",
        ),
        (ObjectIdentifier::new_unwrap("1.3.101.110"), "an X25519 key"),
        (ObjectIdentifier::new_unwrap("1.3.101.111"), "an X448 key"),
        (ObjectIdentifier::new_unwrap("1.3.101.113"), "an Ed448 key"),
    ];
    let oid = info.algorithm.oid;
    if oid != ED25519 {
        let kind = KINDS.iter().find(|(known, _)| *known == oid);
        return Err(KeyFileError::NotEd25519(
            kind.map_or("a key of another kind", |(_, name)| name),
        ));
    }
    let pair = KeypairBytes::try_from(info).map_err(|_| KeyFileError::Damaged)?;
    let public = pair.public_key.as_ref().map(AsRef::as_ref);
    from_halves(&pair.secret_key, public)
}

/// The public half is computed; one that was given is compared and forgotten.
fn from_halves(seed: &[u8; 32], public: Option<&[u8; 32]>) -> Result<SigningKey, KeyFileError> {
    let key = SigningKey::from_seed(seed).map_err(|error| match error {
        SignError::Key(error) => KeyFileError::Key(error),
        _ => KeyFileError::Damaged,
    })?;
    if public.is_some_and(|public| !bool::from(public.ct_eq(key.public().as_bytes()))) {
        return Err(KeyFileError::Mismatch);
    }
    Ok(key)
}

fn check_cost(scheme: &EncryptionScheme) -> Result<(), KeyFileError> {
    let fits = match scheme.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Scrypt(cost)) => {
            let bytes = cost
                .cost_parameter
                .checked_mul(128 * u64::from(cost.block_size));
            cost.cost_parameter > 1
                && bytes.is_some_and(|bytes| bytes <= SCRYPT_BYTES_MAX)
                && cost.parallelization <= SCRYPT_PARALLEL_MAX
        }
        Some(Kdf::Pbkdf2(cost)) => cost.iteration_count <= Pbkdf2Params::MAX_ITERATION_COUNT,
        _ => false,
    };
    fits.then_some(()).ok_or(KeyFileError::Cipher)
}

/// What tells JWKs apart.
#[derive(Deserialize)]
struct JwkKind<'t> {
    #[serde(borrow)]
    kty: Option<Cow<'t, str>>,
    #[serde(borrow)]
    crv: Option<Cow<'t, str>>,
    d: Option<IgnoredAny>,
    keys: Option<IgnoredAny>,
}

/// A private JWK (RFC 8037), closed. The private half is borrowed, so no copy stays behind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PrivateJwk<'t> {
    #[serde(rename = "kty")]
    _kty: IgnoredAny,
    #[serde(rename = "crv")]
    _crv: IgnoredAny,
    x: &'t str,
    d: &'t str,
    #[serde(borrow)]
    kid: Option<Cow<'t, str>>,
    #[serde(borrow)]
    alg: Option<Cow<'t, str>>,
    #[serde(borrow)]
    r#use: Option<Cow<'t, str>>,
    #[serde(borrow)]
    key_ops: Option<Vec<Cow<'t, str>>>,
    // WebCrypto writes it.
    #[serde(rename = "ext")]
    _ext: Option<bool>,
}

fn from_jwk(json: &[u8]) -> Result<SigningKey, KeyFileError> {
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(json) {
        return Err(if error.is_eof() {
            KeyFileError::CutOff
        } else {
            KeyFileError::Damaged
        });
    }
    let kind: JwkKind<'_> = object(json).ok_or(KeyFileError::Unknown)?;
    if kind.keys.is_some() {
        return Err(KeyFileError::Jwk(
            "it is a key set; take the one key out of it",
        ));
    }
    match (kind.kty.as_deref(), kind.crv.as_deref()) {
        (Some("OKP"), Some("Ed25519")) => {}
        (Some("OKP"), Some("Ed448")) => return Err(KeyFileError::NotEd25519("an Ed448 key")),
        (Some("OKP"), Some("X25519" | "X448")) => {
            return Err(KeyFileError::NotEd25519("a key for key agreement"));
        }
        (Some("RSA"), _) => return Err(KeyFileError::NotEd25519("an RSA key")),
        (Some("EC"), _) => return Err(KeyFileError::NotEd25519("an EC key")),
        (Some("oct"), _) => return Err(KeyFileError::NotEd25519("a shared secret")),
        _ => return Err(KeyFileError::Unknown),
    }
    if kind.d.is_none() {
        return Err(KeyFileError::PublicOnly);
    }
    let jwk: PrivateJwk<'_> = object(json).ok_or(KeyFileError::Jwk(
        "it has `kty`, `crv`, `x`, `d`, and may have `kid`, `alg`, `use`, `key_ops` and `ext`",
    ))?;
    if !matches!(jwk.alg.as_deref(), None | Some("EdDSA" | "Ed25519")) {
        return Err(KeyFileError::Jwk("`alg` is not `EdDSA`"));
    }
    if !matches!(jwk.r#use.as_deref(), None | Some("sig")) {
        return Err(KeyFileError::Jwk("`use` is not `sig`"));
    }
    if jwk
        .key_ops
        .is_some_and(|ops| !ops.iter().any(|op| op == "sign"))
    {
        return Err(KeyFileError::Jwk("`key_ops` lacks `sign`"));
    }
    let public = bytes_of(jwk.x).ok_or(KeyFileError::Jwk("`x` is not 32 bytes in base64url"))?;
    let seed = bytes_of(jwk.d).ok_or(KeyFileError::Jwk("`d` is not 32 bytes in base64url"))?;
    let key = from_halves(&seed, Some(&public))?;
    if jwk.kid.is_some_and(|kid| kid != key.public().id()) {
        return Err(KeyFileError::Jwk(
            "`kid` is not its RFC 7638 thumbprint; leave it out",
        ));
    }
    Ok(key)
}

fn bytes_of(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    if BASE64URL_NOPAD.decode_len(text.len()).ok()? != bytes.len() {
        return None;
    }
    BASE64URL_NOPAD
        .decode_mut(text.as_bytes(), &mut *bytes)
        .ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests;
