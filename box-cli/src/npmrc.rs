//! The project's `.npmrc`: our lines set or taken out, every other line left byte for byte.

/// The text with `key=value` set for each pair: in place where the key stands first, else at the
/// end, or before the first section, since npm looks into none. Where a key stands twice, its other
/// lines go: the last would win.
pub fn set(text: &str, pairs: &[(String, String)]) -> String {
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut missing: Vec<&(String, String)> = pairs.iter().collect();
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let Some((key, value)) = pairs.iter().find(|(key, _)| is_of(line, key)) else {
            out.push_str(line);
            continue;
        };
        if let Some(at) = missing.iter().position(|(wanted, _)| wanted == key) {
            missing.remove(at);
            out.push_str(&format_line(key, value, ending));
        }
    }
    if missing.is_empty() {
        return out;
    }
    let section = section(&out).unwrap_or(out.len());
    let rest = out.split_off(section);
    if !out.is_empty() && !out.ends_with('\n') {
        out.push_str(ending);
    }
    for (key, value) in missing {
        out.push_str(&format_line(key, value, ending));
    }
    out + &rest
}

/// Where the first section begins.
fn section(text: &str) -> Option<usize> {
    let mut at = 0;
    text.split_inclusive('\n').find_map(|line| {
        let start = at;
        at += line.len();
        line.trim_start().starts_with('[').then_some(start)
    })
}

/// The text without the lines of these keys.
pub fn without(text: &str, keys: &[String]) -> String {
    let is_ours = |line: &&str| keys.iter().any(|key| is_of(line, key));
    text.split_inclusive('\n')
        .filter(|line| !is_ours(line))
        .collect()
}

/// The value that a key has: that of its last line.
pub fn get<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let mut lines = text.lines().rev();
    let line = lines.find(|line| is_of(line, key))?;
    line.split_once('=').map(|(_, value)| value.trim())
}

fn format_line(key: &str, value: &str, ending: &str) -> String {
    format!("{key}={value}{ending}")
}

fn is_of(line: &str, key: &str) -> bool {
    line.split_once('=').is_some_and(|(k, _)| k.trim() == key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> [(String, String); 2] {
        [
            ("@acme:registry".to_owned(), "http://gate/".to_owned()),
            ("//gate/:_authToken".to_owned(), "new".to_owned()),
        ]
    }

    #[test]
    fn a_hand_edited_npmrc_survives() {
        let text = "; mine\nfund=false\n //gate/:_authToken = old\n\nloglevel=warn\n//gate/:_authToken=older";
        let expected = "; mine\nfund=false\n//gate/:_authToken=new\n\nloglevel=warn\n@acme:registry=http://gate/\n";
        assert_eq!(set(text, &pairs()), expected);
        assert_eq!(set(expected, &pairs()), expected);
        assert_eq!(
            set("", &pairs()),
            "@acme:registry=http://gate/\n//gate/:_authToken=new\n"
        );
        let keys: Vec<String> = pairs().into_iter().map(|(key, _)| key).collect();
        assert_eq!(
            without(expected, &keys),
            "; mine\nfund=false\n\nloglevel=warn\n"
        );
        assert_eq!(get(text, "//gate/:_authToken"), Some("older"));
    }

    #[test]
    fn what_is_set_stands_before_any_section() {
        let set = set("fund=false\n[mine]\na=b\n", &pairs());
        let expected =
            "fund=false\n@acme:registry=http://gate/\n//gate/:_authToken=new\n[mine]\na=b\n";
        assert_eq!(set, expected);
    }

    #[test]
    fn line_endings_and_a_missing_last_one_stay() {
        let text = "fund=false\r\n# end";
        let set = set(text, &pairs());
        assert_eq!(
            set,
            "fund=false\r\n# end\r\n@acme:registry=http://gate/\r\n//gate/:_authToken=new\r\n"
        );
        let keys: Vec<String> = pairs().into_iter().map(|(key, _)| key).collect();
        assert_eq!(without(&set, &keys), "fund=false\r\n# end\r\n");
    }
}
