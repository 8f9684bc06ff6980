//! The project's `.npmrc`: our lines set, every other line left as it is.

/// The text with `key=value` set for each pair: in place where the key stands, else at the end.
pub fn set(text: &str, pairs: &[(String, String)]) -> String {
    let mut lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
    for (key, value) in pairs {
        let ours = |line: &String| line.split_once('=').is_some_and(|(k, _)| k.trim() == key);
        let line = format!("{key}={value}");
        match lines.iter().position(ours) {
            Some(at) => {
                // A key that stands twice would win by its second line.
                let mut index = 0;
                lines.retain(|other| {
                    let keep = index <= at || !ours(other);
                    index += 1;
                    keep
                });
                if let Some(found) = lines.get_mut(at) {
                    *found = line;
                }
            }
            None => lines.push(line),
        }
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hand_edited_npmrc_survives() {
        let pairs = [
            ("@acme:registry".to_owned(), "http://gate/".to_owned()),
            ("//gate/:_authToken".to_owned(), "new".to_owned()),
        ];
        let text = "; mine\nfund=false\n //gate/:_authToken = old\n\nloglevel=warn\n//gate/:_authToken=older";
        let expected = "; mine\nfund=false\n//gate/:_authToken=new\n\nloglevel=warn\n@acme:registry=http://gate/\n";
        assert_eq!(set(text, &pairs), expected);
        assert_eq!(set(expected, &pairs), expected);
        assert_eq!(
            set("", &pairs),
            "@acme:registry=http://gate/\n//gate/:_authToken=new\n"
        );
    }
}
