//! Lists of names in a TOML text, with their comments: taken apart, changed, and written again.

use toml_edit::{Array, RawString, Value};

/// Longest line that a list stays on.
const LINE_MAX: usize = 100;
const INDENT: &str = "\n    ";

/// A list of strings with its comments.
#[derive(Debug)]
pub(crate) struct List {
    items: Vec<Item>,
    /// Comments after the last item, on lines of their own.
    after: Vec<String>,
    spread: bool,
}

#[derive(Debug)]
struct Item {
    /// Comments above, on lines of their own: a heading for what follows.
    heading: Vec<String>,
    text: String,
    /// A comment beside it.
    beside: Option<String>,
}

impl List {
    /// Takes an array apart; `None` when it is not one of strings.
    pub(crate) fn of(array: &Array) -> Option<Self> {
        let mut items: Vec<Item> = Vec::new();
        let mut spread = false;
        // Comments below an item that head the next one, or end the list.
        let mut below = Vec::new();
        for value in array {
            let decor = value.decor();
            let mut space = Comments::of(decor.prefix());
            below.extend(give_beside(items.last_mut(), space.beside));
            below.append(&mut space.below);
            spread |= space.broken;
            let text = value.as_str()?.to_owned();
            items.push(Item {
                heading: std::mem::take(&mut below),
                text,
                beside: None,
            });
            let space = Comments::of(decor.suffix());
            below.extend(give_beside(items.last_mut(), space.beside));
            below.extend(space.below);
        }
        let space = Comments::of(Some(array.trailing()));
        below.extend(give_beside(items.last_mut(), space.beside));
        below.extend(space.below);
        Some(Self {
            items,
            after: below,
            spread,
        })
    }

    /// An empty list.
    pub(crate) fn new() -> Self {
        Self {
            items: Vec::new(),
            after: Vec::new(),
            spread: false,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|item| item.text.as_str())
    }

    /// Adds a name: in its place when the list is sorted, at the end otherwise.
    pub(crate) fn add(&mut self, name: &str) {
        let sorted = self.items.is_sorted_by(|a, b| a.text <= b.text);
        let place = self.items.partition_point(|item| item.text.as_str() < name);
        let place = if sorted { place } else { self.items.len() };
        let item = Item {
            heading: Vec::new(),
            text: name.to_owned(),
            beside: None,
        };
        self.items.insert(place, item);
    }

    /// Takes names out. Their headings stay, for what follows.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        let mut headings = Vec::new();
        let mut kept = Vec::new();
        for mut item in std::mem::take(&mut self.items) {
            if keep(&item.text) {
                headings.append(&mut item.heading);
                item.heading = std::mem::take(&mut headings);
                kept.push(item);
            } else {
                headings.append(&mut item.heading);
            }
        }
        headings.append(&mut self.after);
        self.items = kept;
        self.after = headings;
    }

    /// Sorts the names under each heading.
    pub(crate) fn sort(&mut self) {
        for group in self.items.chunk_by_mut(|_, next| next.heading.is_empty()) {
            let heading = group
                .first_mut()
                .map(|first| std::mem::take(&mut first.heading));
            group.sort_by(|a, b| a.text.cmp(&b.text));
            if let (Some(first), Some(heading)) = (group.first_mut(), heading) {
                first.heading = heading;
            }
        }
    }

    /// Writes the list: on one line when it was, has no comments, and fits after `taken` columns.
    pub(crate) fn write(&self, taken: usize) -> Array {
        let width: usize = self.items.iter().map(|item| item.text.len() + 4).sum();
        let commented = !self.after.is_empty()
            || self
                .items
                .iter()
                .any(|item| !item.heading.is_empty() || item.beside.is_some());
        if commented || self.spread || taken + width > LINE_MAX {
            self.write_spread()
        } else {
            self.iter().collect()
        }
    }

    fn write_spread(&self) -> Array {
        let mut array = Array::new();
        let mut beside: Option<&str> = None;
        for item in &self.items {
            let mut prefix = beside
                .map(|comment| format!(" {comment}"))
                .unwrap_or_default();
            for line in &item.heading {
                prefix.extend([INDENT, line]);
            }
            prefix.push_str(INDENT);
            array.push_formatted(Value::from(item.text.as_str()).decorated(prefix, ""));
            beside = item.beside.as_deref();
        }
        let mut trailing = beside
            .map(|comment| format!(" {comment}"))
            .unwrap_or_default();
        for line in &self.after {
            trailing.extend([INDENT, line]);
        }
        trailing.push('\n');
        array.set_trailing(trailing);
        array.set_trailing_comma(!self.items.is_empty());
        array
    }
}

/// Gives a comment to the item it stands beside; back when there is none, or it has one.
fn give_beside(item: Option<&mut Item>, comment: Option<String>) -> Option<String> {
    match item {
        Some(item) if item.beside.is_none() => {
            item.beside = comment;
            None
        }
        _ => comment,
    }
}

/// The comments in the white space around an item.
struct Comments {
    /// On the line where the space starts.
    beside: Option<String>,
    /// On lines of their own.
    below: Vec<String>,
    /// Whether there is a line break at all.
    broken: bool,
}

impl Comments {
    fn of(space: Option<&RawString>) -> Self {
        let text = space.and_then(RawString::as_str).unwrap_or_default();
        let comment = |line: &&str| line.starts_with('#');
        let mut lines = text.split('\n').map(str::trim);
        Self {
            beside: lines.next().filter(comment).map(str::to_owned),
            below: lines.filter(comment).map(str::to_owned).collect(),
            broken: text.contains('\n'),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> List {
        let document: toml_edit::DocumentMut = format!("x = {text}").parse().unwrap();
        List::of(document["x"].as_array().unwrap()).unwrap()
    }

    #[test]
    fn comments_stay_with_what_they_are_about() {
        let mut list = list(
            "[ # first\n  \"b\", # about b\n  \"a\",\n  # second\n  \"d\", \"c\" # about c\n  # end\n]",
        );
        list.add("e");
        list.sort();
        let expected = "[\n    # first\n    \"a\",\n    \"b\", # about b\n    # second\n    \"c\", # about c\n    \"d\",\n    \"e\",\n    # end\n]";
        assert_eq!(list.write(0).to_string(), expected);
        list.retain(|name| name > "c");
        let expected = "[\n    # first\n    # second\n    \"d\",\n    \"e\",\n    # end\n]";
        assert_eq!(list.write(0).to_string(), expected);
    }

    #[test]
    fn a_short_list_stays_on_its_line() {
        assert_eq!(list("['b',\"a\"]").write(0).to_string(), "[\"b\", \"a\"]");
        assert!(list("['b',\"a\"]").write(99).to_string().contains('\n'));
        assert_eq!(List::new().write(0).to_string(), "[]");
    }
}
