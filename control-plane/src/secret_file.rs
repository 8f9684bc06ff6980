//! Files with secrets: readable by their owner alone, whole or absent, and under a passphrase
//! where one is given.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use activation_token::SigningKey;
use activation_token::credential::HashKey;
use anyhow::{Context, bail};
use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret, SecretString};
use terminal::private_file;
pub(crate) use terminal::private_file::sync_parent;
use zeroize::Zeroizing;

use crate::entropy::{Entropy, random};
use crate::seal::Sealer;

/// What a file that [`Protection`] sealed begins with; the salt follows.
const SEALED: &str = "scrypt.";
/// The cost of [`activation_token::SigningKey::to_encrypted_pem`].
const SCRYPT: (u8, u32, u32) = (14, 8, 5);

/// What the secrets of the data directory are encrypted with.
#[derive(Clone)]
pub(crate) struct Protection {
    passphrase: SecretString,
    entropy: Arc<dyn Entropy>,
}

impl Protection {
    pub(crate) fn new(passphrase: SecretString, entropy: Arc<dyn Entropy>) -> anyhow::Result<Self> {
        if passphrase.expose_secret().is_empty() {
            bail!("the passphrase for the keys is empty");
        }
        Ok(Self {
            passphrase,
            entropy,
        })
    }

    pub(crate) fn passphrase(&self) -> &SecretString {
        &self.passphrase
    }

    /// Fresh random bytes for a salt.
    pub(crate) fn salt<const N: usize>(&self) -> anyhow::Result<[u8; N]> {
        Ok(random(&*self.entropy)?)
    }

    /// A secret as the file `name` keeps it.
    pub(crate) fn seal(&self, name: &str, secret: &[u8]) -> anyhow::Result<String> {
        let salt = self.salt::<16>()?;
        let sealed = self.sealer(&salt)?.seal(name, secret, &*self.entropy)?;
        Ok(format!(
            "{SEALED}{}.{sealed}",
            BASE64URL_NOPAD.encode(&salt)
        ))
    }

    /// The secret that [`Self::seal`] hid, if the passphrase is the same and the text whole.
    pub(crate) fn open(
        &self,
        name: &str,
        text: &str,
    ) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
        let parts = text
            .strip_prefix(SEALED)
            .and_then(|rest| rest.split_once('.'));
        let Some((salt, sealed)) = parts else {
            return Ok(None);
        };
        let Ok(salt) = BASE64URL_NOPAD.decode(salt.as_bytes()) else {
            return Ok(None);
        };
        Ok(self.sealer(&salt)?.open(name, sealed))
    }

    fn sealer(&self, salt: &[u8]) -> anyhow::Result<Sealer> {
        let (log_n, r, p) = SCRYPT;
        let cost = scrypt::Params::new(log_n, r, p)?;
        let mut key = Zeroizing::new([0; 32]);
        let passphrase = self.passphrase.expose_secret().as_bytes();
        scrypt::scrypt(passphrase, salt, &cost, &mut *key)?;
        Ok(Sealer::new(&HashKey::from_bytes(*key), "passphrase"))
    }
}

impl fmt::Debug for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Protection([redacted])")
    }
}

/// A key as its file keeps it.
pub(crate) fn pem(
    key: &SigningKey,
    protection: Option<&Protection>,
) -> anyhow::Result<Zeroizing<String>> {
    Ok(match protection {
        Some(protection) => key.to_encrypted_pem(protection.passphrase(), &protection.salt()?)?,
        None => key.to_pem()?,
    })
}

/// Whether a file's text is one that [`Protection::seal`] made.
pub(crate) fn is_sealed(text: &str) -> bool {
    text.starts_with(SEALED)
}

/// Reads a secret's file, if it is there.
pub(crate) fn read(path: &Path) -> anyhow::Result<Option<Zeroizing<Vec<u8>>>> {
    match fs::read(path) {
        Ok(bytes) => {
            let bytes = Zeroizing::new(bytes);
            private_file::must_be_private(path)?;
            Ok(Some(bytes))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Writes the file whole or not at all. The data directory has one writer at a time, which finds
/// what a crash left under this name.
pub(crate) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    private_file::write_by(path, &path.with_extension("new"), text)
}

/// Removes a secret's file; one that is gone already is no error. Its bytes are not overwritten
/// first: a modern disk or file system would write the zeros elsewhere.
pub(crate) fn erase(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path).and_then(|()| sync_parent(path)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove `{}`", path.display()))
        }
        _ => Ok(()),
    }
}
