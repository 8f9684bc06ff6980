//! Every form, what other tools write, and what is no key of ours.

use std::process::{Command, Stdio};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const PASSPHRASE: &str = "correct horse, battery: staple";

fn key() -> SigningKey {
    SigningKey::from_seed(&[42; 32]).unwrap()
}

fn passphrase() -> SecretString {
    SecretString::from(PASSPHRASE)
}

fn encrypted() -> Zeroizing<String> {
    key().to_encrypted_pem(&passphrase(), &[7; 32]).unwrap()
}

/// Reads a file with the passphrase at hand and tells the key's id.
fn read(bytes: &[u8]) -> Result<String, KeyFileError> {
    SigningKey::from_file_bytes(bytes, Some(&passphrase())).map(|key| key.public().id().to_owned())
}

fn refusal(bytes: impl AsRef<[u8]>) -> KeyFileError {
    read(bytes.as_ref()).unwrap_err()
}

fn b64(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

fn jwk() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "d": b64(&[42; 32]), "x": b64(key().public().as_bytes())})
}

/// The JWK with one member set, or taken away by `null`.
fn jwk_with(member: &str, value: Value) -> String {
    let mut jwk = jwk();
    let members = jwk.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(member);
    } else {
        members.insert(member.to_owned(), value);
    }
    jwk.to_string()
}

fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut child = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("`openssl` runs; ci/setup installs it");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    output.stdout
}

/// The last 32 bytes of a `SubjectPublicKeyInfo` are the key.
fn public_of(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let spki = openssl(
        &[&["pkey", "-pubout", "-outform", "DER"], arguments].concat(),
        input,
    );
    spki[spki.len() - 32..].to_vec()
}

#[test]
fn openssl_reads_what_we_write() {
    let pass = format!("pass:{PASSPHRASE}");
    let expected = *key().public().as_bytes();
    assert_eq!(public_of(&[], key().to_pem().unwrap().as_bytes()), expected);
    let sealed = encrypted();
    assert!(SigningKey::is_encrypted_pem(sealed.as_bytes()));
    assert_eq!(public_of(&["-passin", &pass], sealed.as_bytes()), expected);
}

#[test]
fn we_read_what_openssl_writes() {
    let pass = format!("pass:{PASSPHRASE}");
    let pem = openssl(&["genpkey", "-algorithm", "ed25519"], b"");
    let public = public_of(&[], &pem);
    let expected = crate::Key::from_bytes(&public).unwrap().id().to_owned();
    let der = openssl(&["pkey", "-outform", "DER"], &pem);
    let mut forms = vec![pem.clone(), der];
    for (cipher, scrypt) in [
        ("aes-256-cbc", false),
        ("aes-128-cbc", false),
        ("aes-256-cbc", true),
    ] {
        let arguments = ["pkcs8", "-topk8", "-passout", &pass, "-v2", cipher];
        let more: &[&str] = if scrypt { &["-scrypt"] } else { &[] };
        for outform in ["PEM", "DER"] {
            let arguments = [&arguments, more, &["-outform", outform]].concat();
            forms.push(openssl(&arguments, &pem));
        }
    }
    for form in forms {
        assert_eq!(read(&form), Ok(expected.clone()), "{}", form.escape_ascii());
    }
    let old = openssl(&["pkcs8", "-topk8", "-passout", &pass, "-v2", "des3"], &pem);
    assert_eq!(refusal(old), KeyFileError::Cipher);
    let public = openssl(&["pkey", "-pubout"], &pem);
    assert_eq!(refusal(public), KeyFileError::PublicOnly);
}

#[test]
fn every_form_gives_the_same_key() {
    let id = Ok(key().public().id().to_owned());
    let pem = key().to_pem().unwrap();
    assert_eq!(read(pem.as_bytes()), id);
    assert_eq!(read(pem.replace('\n', "\r\n").as_bytes()), id);
    assert_eq!(
        read(format!("our key:\n\n{}\n\nkept since 2026\n", *pem).as_bytes()),
        id
    );
    assert_eq!(read(key().to_der().unwrap().as_bytes()), id);
    assert_eq!(read(encrypted().as_bytes()), id);
    assert_eq!(read(jwk().to_string().as_bytes()), id);
    let kid = key().public().id().to_owned();
    let full = json!({"kty": "OKP", "crv": "Ed25519", "d": b64(&[42; 32]), "ext": true,
        "x": b64(key().public().as_bytes()), "kid": kid, "alg": "Ed25519", "use": "sig",
        "key_ops": ["sign", "verify"]});
    assert_eq!(read(format!("\n{full:#}\n").as_bytes()), id);
}

/// PKCS#8 version 2 with any public half.
fn version_2(public: [u8; 32]) -> SecretDocument {
    use ed25519_dalek::pkcs8::{EncodePrivateKey, PublicKeyBytes};
    let pair = KeypairBytes {
        secret_key: [42; 32],
        public_key: Some(PublicKeyBytes(public)),
    };
    pair.to_pkcs8_der().unwrap()
}

#[test]
fn a_public_half_that_does_not_belong_is_refused() {
    let right = *key().public().as_bytes();
    assert_eq!(
        read(version_2(right).as_bytes()).unwrap(),
        key().public().id()
    );
    let wrong = *SigningKey::from_seed(&[43; 32])
        .unwrap()
        .public()
        .as_bytes();
    assert_eq!(refusal(version_2(wrong).as_bytes()), KeyFileError::Mismatch);
    assert_eq!(
        refusal(jwk_with("x", json!(b64(&wrong)))),
        KeyFileError::Mismatch
    );
}

#[test]
fn the_passphrase_must_be_there_and_right() {
    let sealed = encrypted();
    let read = |passphrase: Option<&str>| {
        let passphrase = passphrase.map(SecretString::from);
        SigningKey::from_file_bytes(sealed.as_bytes(), passphrase.as_ref()).unwrap_err()
    };
    assert_eq!(read(None), KeyFileError::PassphraseMissing);
    assert_eq!(read(Some("wrong")), KeyFileError::PassphraseWrong);
    assert!(!sealed.contains(&*key().to_pem().unwrap()));
}

#[test]
fn a_key_that_asks_for_endless_work_is_refused() {
    let cost = scrypt::Params::new(25, 8, 1).unwrap();
    let huge = Parameters::generate_scrypt_aes256cbc(cost, &[7; 16], [7; 16]).unwrap();
    assert_eq!(check_cost(&huge.into()), Err(KeyFileError::Cipher));
}

#[test]
fn what_is_no_ed25519_private_key_is_named() {
    let rsa = openssl(&["genrsa", "2048"], b"");
    let ec = openssl(
        &[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ],
        b"",
    );
    // Before PKCS#8 each kind had a form of its own.
    let old_forms: [(&[u8], &[&str], &str); 2] = [
        (&rsa, &["rsa", "-traditional"], "an RSA key"),
        (&ec, &["ec"], "an EC key"),
    ];
    for (pem, old, name) in old_forms {
        let der = ["-outform", "DER"];
        for form in [
            pem.to_vec(),
            openssl(&[&["pkey"], &der[..]].concat(), pem),
            openssl(old, pem),
            openssl(&[old, &der].concat(), pem),
        ] {
            assert_eq!(refusal(form), KeyFileError::NotEd25519(name));
        }
    }
    let x25519 = openssl(&["genpkey", "-algorithm", "x25519"], b"");
    assert_eq!(refusal(x25519), KeyFileError::NotEd25519("an X25519 key"));
    let rsa = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB", "d": "AQAB", "p": "AQAB"});
    assert_eq!(
        refusal(rsa.to_string()),
        KeyFileError::NotEd25519("an RSA key")
    );
    let ec = json!({"kty": "EC", "crv": "P-256", "x": "", "y": "", "d": ""});
    assert_eq!(
        refusal(ec.to_string()),
        KeyFileError::NotEd25519("an EC key")
    );
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(
        refusal(certificate),
        KeyFileError::NotEd25519("a certificate")
    );
}

#[test]
fn a_public_key_alone_is_refused_and_says_what_is_needed() {
    let refused = refusal(jwk_with("d", Value::Null));
    assert_eq!(refused, KeyFileError::PublicOnly);
    assert!(refused.to_string().contains("private half"));
}

#[test]
fn what_is_missing_is_told() {
    let pem = key().to_pem().unwrap();
    assert_eq!(refusal(""), KeyFileError::Empty);
    assert_eq!(refusal(" \n"), KeyFileError::Empty);
    for end in [1, 8, 20, 40, pem.len() - 10] {
        assert_eq!(
            refusal(&pem.as_bytes()[..end]),
            KeyFileError::CutOff,
            "{end}"
        );
    }
    let der = key().to_der().unwrap();
    for end in 1..der.as_bytes().len() {
        assert_eq!(
            refusal(&der.as_bytes()[..end]),
            KeyFileError::CutOff,
            "{end}"
        );
    }
    assert_eq!(refusal(&jwk().to_string()[..30]), KeyFileError::CutOff);
    assert_eq!(refusal(format!("{}{}", *pem, *pem)), KeyFileError::Several);
    assert_eq!(refusal(pem.replace("MC4C", "MC5C")), KeyFileError::Damaged);
    assert_eq!(refusal("tgl_live_x"), KeyFileError::Unknown);
    assert_eq!(refusal([0xff; 32]), KeyFileError::Unknown);
}

#[test]
fn a_jwk_is_closed_and_its_members_must_fit() {
    for (member, value) in [
        ("kid", json!("mine")),
        ("alg", json!("ES256")),
        ("use", json!("enc")),
        ("key_ops", json!(["verify"])),
        ("x5c", json!([])),
        ("x", Value::Null),
        ("x", json!("AA")),
        ("d", json!("AA")),
        // The last letter has bits that mean nothing: a second spelling.
        ("d", json!(format!("{}r", &b64(&[42; 32])[..42]))),
    ] {
        let refused = refusal(jwk_with(member, value.clone()));
        assert!(
            matches!(refused, KeyFileError::Jwk(_)),
            "{member} {value}: {refused}"
        );
    }
    let set = refusal(json!({"keys": [jwk()]}).to_string());
    assert!(set.to_string().contains("take the one key out"), "{set}");
    let twice = jwk()
        .to_string()
        .replacen('{', r#"{"use":"sig","use":"sig","#, 1);
    assert!(matches!(refusal(twice), KeyFileError::Jwk(_)));
}

proptest! {
    /// Where the public half stands beside it, a changed byte gives a refusal or, where the text
    /// means the same, the same key.
    #[test]
    fn a_damaged_file_never_gives_another_key(at in any::<usize>(), byte: u8, binary: bool) {
        let mut bytes = if binary {
            version_2(*key().public().as_bytes()).as_bytes().to_vec()
        } else {
            jwk().to_string().into_bytes()
        };
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(read) = SigningKey::from_file_bytes(&bytes, None) {
            let expected = key();
            prop_assert_eq!(read.public().id(), expected.public().id());
        }
    }

    #[test]
    fn no_file_makes_the_reader_panic(mut bytes: Vec<u8>, begin in 0_usize..5) {
        let begin = ["", "0", "{", "-----BEGIN PRIVATE KEY-----", "-----BEGIN "][begin];
        bytes.splice(0..0, begin.bytes());
        prop_assert!(SigningKey::from_file_bytes(&bytes, None).is_err());
    }
}
