//! Reading a change stream: server-sent events, of which one kind and one member count.
//!
//! Each line is an event's name, a piece of its data, or a comment that keeps the line open; an
//! empty line ends the event. What is not known is passed over, and nothing grows without bound.

/// The longest line that is taken, in bytes.
const LINE_BYTES_MAX: usize = 1024;

/// Reads numbers out of a stream's bytes, however they are cut into pieces.
#[derive(Default)]
pub(crate) struct ChangeReader {
    line: Vec<u8>,
    /// The last line ended with a carriage return, so that a line feed after it ends none.
    after_return: bool,
    is_change: bool,
    number: Option<Result<u64, EventsError>>,
}

/// Why a stream cannot be followed any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EventsError {
    #[error("a line of the change stream is over {LINE_BYTES_MAX} bytes")]
    LineTooLong,
    #[error("a change of the change stream has no number")]
    NoNumber,
}

impl ChangeReader {
    /// Takes the next bytes. Gives the last number that they complete, if any: the newest is all
    /// that counts.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Option<u64>, EventsError> {
        let mut newest = None;
        for &byte in bytes {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\r' | b'\n' => {
                    newest = self.end_line()?.or(newest);
                    self.line.clear();
                }
                _ if self.line.len() == LINE_BYTES_MAX => return Err(EventsError::LineTooLong),
                _ => self.line.push(byte),
            }
        }
        Ok(newest)
    }

    fn end_line(&mut self) -> Result<Option<u64>, EventsError> {
        if self.line.is_empty() {
            let is_change = std::mem::take(&mut self.is_change);
            let number = self.number.take();
            return match number {
                Some(number) if is_change => number.map(Some),
                // Without data there is no event, by the standard.
                _ => Ok(None),
            };
        }
        let colon = self.line.iter().position(|byte| *byte == b':');
        let (field, value) = self.line.split_at(colon.unwrap_or(self.line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.is_change = value == b"change",
            // A second line of data makes it something else than a number.
            b"data" if self.number.is_some() => self.number = Some(Err(EventsError::NoNumber)),
            b"data" => self.number = Some(number(value)),
            _ => {}
        }
        Ok(None)
    }
}

fn number(value: &[u8]) -> Result<u64, EventsError> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok())
        .ok_or(EventsError::NoNumber)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Option<u64>, EventsError> {
        ChangeReader::default().feed(text.as_bytes())
    }

    #[test]
    fn a_change_is_an_event_of_that_name_with_a_number() {
        for (text, expected) in [
            ("event: change\nid: 7\ndata: 7\n\n", Ok(Some(7))),
            ("event:change\r\ndata:7\r\n\r\n", Ok(Some(7))),
            ("event: change\rdata: 7\r\r", Ok(Some(7))),
            ("data: 7\nevent: change\n\n", Ok(Some(7))),
            (
                ": keep-alive\n\nevent: change\ndata: 7\n\n: more\n",
                Ok(Some(7)),
            ),
            (
                "event: change\ndata: 7\n\nevent: change\ndata: 9\n\n",
                Ok(Some(9)),
            ),
            // Not ended yet, of another kind, without data.
            ("event: change\ndata: 7\n", Ok(None)),
            ("event: other\ndata: x\n\n", Ok(None)),
            ("data: 7\n\n", Ok(None)),
            ("event: change\n\ndata: 7\n\n", Ok(None)),
            ("event: change\ndata: 7\nevent: other\n\n", Ok(None)),
            ("retry: 10\nunknown\n:\n\n", Ok(None)),
            ("", Ok(None)),
            // A change that is none.
            ("event: change\ndata\n\n", Err(EventsError::NoNumber)),
            ("event: change\ndata: -1\n\n", Err(EventsError::NoNumber)),
            ("event: change\ndata: +1\n\n", Err(EventsError::NoNumber)),
            (
                "event: change\ndata: 7\ndata: 8\n\n",
                Err(EventsError::NoNumber),
            ),
            (
                "event: change\ndata: 99999999999999999999\n\n",
                Err(EventsError::NoNumber),
            ),
        ] {
            assert_eq!(read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_line_does_not_grow_for_ever() {
        let fits = format!(":{}\n", "a".repeat(LINE_BYTES_MAX - 1));
        assert_eq!(read(&fits.repeat(3)), Ok(None));
        let over = format!(":{}", "a".repeat(LINE_BYTES_MAX));
        assert_eq!(read(&over), Err(EventsError::LineTooLong));
    }

    proptest! {
        #[test]
        fn how_the_bytes_are_cut_changes_nothing(
            text in "((event: change|data: [0-9]{1,3}|: x|)(\r|\n|\r\n)){0,12}",
            cut in 0_usize..100,
        ) {
            let whole = read(&text);
            let (first, second) = text.as_bytes().split_at(cut.min(text.len()));
            let mut reader = ChangeReader::default();
            let parts = reader.feed(first).and_then(|one| Ok(reader.feed(second)?.or(one)));
            prop_assert_eq!(parts, whole);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = ChangeReader::default().feed(&bytes);
        }
    }
}
