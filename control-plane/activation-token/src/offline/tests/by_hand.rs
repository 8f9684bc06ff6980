//! What goes by hand between a box and its vendor, and when it counts.

use proptest::prelude::*;
use serde_json::json;

use super::{DAY, file, now, root};
use crate::offline::{
    HandedOver, LICENSE_REQUEST_BYTES_MAX, LicenseRequest, NoRequest, NotHandedOver, Unfit,
};
use jiff::{SignedDuration, Timestamp};

#[test]
fn a_request_is_closed_and_bounded() {
    let request = LicenseRequest {
        request_id: "req_1".into(),
        requested_at: now(),
        fingerprint: "f-1".into(),
        name: None,
        license_id: Some("lic_1".into()),
    };
    let text = json!(request).to_string();
    assert_eq!(
        LicenseRequest::from_json(&format!("\n{text}\n")),
        Ok(request)
    );
    for bad in [
        String::new(),
        format!("[{text}]"),
        format!("{text}{text}"),
        text.replacen('{', r#"{"fingerprint":"f-2","#, 1),
        text.replacen('{', r#"{"key":"secret","#, 1),
        text.replace("f-1", &"f".repeat(LICENSE_REQUEST_BYTES_MAX)),
    ] {
        assert_eq!(LicenseRequest::from_json(&bad), Err(NoRequest), "{bad}");
    }
}

#[test]
fn what_is_handed_over_is_the_file_with_its_key_or_the_file_alone() {
    let signed = root().sign_license_file(&file()).unwrap();
    let both = HandedOver {
        license_file: signed.clone(),
        root_key: Some(root().public().clone()),
    };
    let text = both.to_text();
    let read = HandedOver::parse(&text).unwrap();
    assert_eq!(read.license_file, signed);
    assert_eq!(read.root_key.unwrap().id(), root().public().id());
    let alone = HandedOver::parse(&format!("{signed}\r\n")).unwrap();
    assert!(alone.license_file == signed && alone.root_key.is_none());
    assert_eq!(alone.to_text(), format!("{signed}\n"));
    // Neither shows the token.
    assert!(!format!("{both:?} {:?}", file()).contains("eyJ"));

    for bad in [
        "",
        "{}",
        "nothing",
        "a b.c.d",
        r#"{"licenseFile":"x","rootKey":null,"more":1}"#,
    ] {
        assert_eq!(
            HandedOver::parse(bad).unwrap_err(),
            NotHandedOver::Form,
            "{bad}"
        );
    }
    for bad in [
        text.replace("OKP", "RSA"),
        text.replace(root().public().id(), "another"),
        r#"{"licenseFile":"x","rootKey":null}"#.to_owned(),
    ] {
        let error = HandedOver::parse(&bad).unwrap_err();
        assert!(matches!(error, NotHandedOver::RootKey(_)), "{bad}");
    }
}

#[test]
fn a_file_counts_on_its_own_box_while_it_is_good() {
    let file = file();
    let minutes = SignedDuration::from_mins;
    let at = |days: i32| now() + days * DAY;
    assert_eq!(file.check("f-2", at(1), None), Err(Unfit::OtherBox));
    for (now, seen_at, good) in [
        (at(0), None, true),
        (at(364), None, true),
        (at(365), None, false),
        // A clock that goes a little behind the vendor's.
        (at(0) - minutes(5), None, true),
        (at(0) - minutes(6), None, false),
        (at(10), Some(at(10) + minutes(5)), true),
        (at(10), Some(at(10) + minutes(6)), false),
        (at(10), Some(at(20)), false),
        (at(10), Some(at(9)), true),
        // Its last minutes do not come back.
        (at(365) - minutes(1), Some(at(365)), false),
    ] {
        let fits = file.check("f-1", now, seen_at);
        assert_eq!(fits.is_ok(), good, "{now} {seen_at:?} {fits:?}");
    }
    let set_back = file.check("f-1", at(1), Some(at(2))).unwrap_err();
    assert!(matches!(set_back, Unfit::ClockSetBack { .. }));
    let early = file.check("f-1", at(-1), None).unwrap_err();
    assert!(matches!(early, Unfit::NotYet { .. }));
    // The ends of time are no way around.
    for now in [Timestamp::MIN, Timestamp::MAX] {
        assert!(file.check("f-1", now, Some(at(1))).is_err());
    }
}

proptest! {
    #[test]
    fn the_clock_going_on_never_makes_a_file_good_again(
        first in -40_i32..900, step in 0_i32..900, seen in -40_i32..900,
    ) {
        let (first, seen) = (now() + first * DAY, now() + seen * DAY);
        let later = first + step * DAY;
        let file = file();
        // Whoever was told that it is over is told so at any later time, and at an earlier one by
        // the time that was seen.
        if let Err(Unfit::Expired { .. }) = file.check("f-1", first, Some(seen)) {
            prop_assert!(file.check("f-1", later, Some(seen.max(first))).is_err());
        }
        if file.check("f-1", first, None).is_err() && first > file.issued_at {
            prop_assert!(file.check("f-1", seen, Some(first)).is_err());
        }
    }
}
