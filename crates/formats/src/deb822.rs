//! Debian's control files: paragraphs of fields, as in `Packages`, `Release` and `control`.
//!
//! Source: Debian Policy, section 5.1, and deb822(5).

use base::Explain;

/// Reads the paragraphs of `text` one after another, without copying anything.
///
/// White lines part them; comment lines (`#`) are skipped. After an error nothing follows.
pub fn paragraphs(text: &str) -> Paragraphs<'_> {
    Paragraphs { text, at: 0, line: 1 }
}

/// Reads the only paragraph of `text`.
///
/// # Errors
///
/// [`Malformed`] also if there is no paragraph, or more than one.
pub fn single(text: &str) -> Result<Paragraph<'_>, Malformed> {
    let mut paragraphs = paragraphs(text);
    let first = paragraphs.next().unwrap_or(Err(Malformed { line: 1, flaw: Flaw::Empty }))?;
    match paragraphs.next() {
        None => Ok(first),
        Some(Ok(second)) => Err(Malformed { line: second.line, flaw: Flaw::Second }),
        Some(Err(error)) => Err(error),
    }
}

/// A paragraph (stanza): fields whose names are unique. It has at least one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paragraph<'a> {
    /// The number of its first line in the text, from 1.
    pub line: usize,
    /// The fields in the order of the text.
    pub fields: Vec<Field<'a>>,
}

/// One field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as it is written; capitals do not matter.
    pub name: &'a str,
    /// The value as it is written, without white space at its ends: the lines after the first
    /// still start with a space, and an empty first line is kept.
    pub value: &'a str,
}

impl<'a> Paragraph<'a> {
    /// The value of the field `name`, in whatever capitals.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let field = self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
        Some(field.value)
    }
}

impl<'a> Field<'a> {
    /// The lines of the value as they are meant: without the space that marks a continuation,
    /// `.` alone is an empty line, no comments. The first may be empty (`Conffiles:`).
    pub fn lines(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let lines = self.value.split('\n').filter(|line| !line.starts_with('#'));
        lines.enumerate().map(|(at, line)| {
            let line = line.trim_end();
            match (at, line.strip_prefix([' ', '\t'])) {
                (1.., Some(".")) => "",
                (1.., Some(text)) => text,
                _ => line,
            }
        })
    }
}

/// A text is not a control file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {flaw}")]
pub struct Malformed {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// What can be wrong with a control file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A line is neither `Name: value` nor a continuation.
    #[error("`{0}` is neither a field (`Name: value`) nor a continuation")]
    NotAField(String),
    /// A continuation where no field has begun.
    #[error("a continuation line without a field before it")]
    NothingToContinue,
    /// A second field of the same name.
    #[error("the field {0} is there twice")]
    Twice(String),
    /// No paragraph where one is needed.
    #[error("there is no paragraph")]
    Empty,
    /// Another paragraph where only one may be.
    #[error("there is more than one paragraph")]
    Second,
}

impl Explain for Malformed {}

/// Iterates over the paragraphs of a text; made by [`paragraphs`].
#[derive(Clone, Debug)]
pub struct Paragraphs<'a> {
    text: &'a str,
    /// Where the next line starts.
    at: usize,
    /// Its number.
    line: usize,
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Result<Paragraph<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut draft = Draft { line: 0, fields: Vec::new(), value: 0, seen: 0 };
        while self.at < self.text.len() {
            let (start, number) = (self.at, self.line);
            let rest = &self.text.as_bytes()[start..];
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            self.at = (start + length + 1).min(self.text.len());
            self.line += 1;
            let line = &self.text[start..start + length];
            let result = match line.as_bytes().first() {
                Some(b'#') => Ok(()),
                None | Some(b' ' | b'\t' | b'\r') if line.trim_ascii().is_empty() => {
                    if draft.fields.is_empty() {
                        continue;
                    }
                    break;
                }
                Some(b' ' | b'\t') => draft.continue_to(&self.text[..start + length]),
                _ => draft.begin(number, &self.text[..start + length], start),
            };
            if let Err(flaw) = result {
                self.at = self.text.len();
                return Some(Err(Malformed { line: number, flaw }));
            }
        }
        let Draft { line, fields, .. } = draft;
        (!fields.is_empty()).then_some(Ok(Paragraph { line, fields }))
    }
}

/// A paragraph whose end has not been seen.
struct Draft<'a> {
    line: usize,
    fields: Vec<Field<'a>>,
    /// Where in the text the last field's value starts.
    value: usize,
    /// A bit for each name so far, to find repetitions without comparing each with each.
    seen: u64,
}

impl<'a> Draft<'a> {
    /// Adds the field that line `number` begins, which goes from `start` to the end of `text`.
    fn begin(&mut self, number: usize, text: &'a str, start: usize) -> Result<(), Flaw> {
        let line = &text[start..];
        let colon = line.bytes().position(|byte| !is_name_byte(byte));
        let name = match colon {
            Some(colon) if line.as_bytes()[colon] == b':' => &line[..colon],
            _ => "",
        };
        let ends = name.bytes().next().zip(name.bytes().next_back());
        let Some((first, last)) = ends.filter(|(first, _)| *first != b'-') else {
            return Err(Flaw::NotAField(line.chars().take(80).collect()));
        };
        let mix = name.len() * 5 + usize::from(first | 0x20) + usize::from(last | 0x20) * 3;
        let bit = 1 << (mix % 64);
        let same = |field: &Field<'_>| field.name.eq_ignore_ascii_case(name);
        if self.seen & bit != 0 && self.fields.iter().any(same) {
            return Err(Flaw::Twice(name.to_owned()));
        }
        self.seen |= bit;
        let value = line[name.len() + 1..].trim_start_matches([' ', '\t']);
        self.value = text.len() - value.len();
        if self.fields.is_empty() {
            self.line = number;
            self.fields.reserve(32); // what a paragraph of `Packages` has
        }
        self.fields.push(Field { name, value: value.trim_ascii_end() });
        Ok(())
    }

    /// Lets the last field's value go on to the end of `text`.
    fn continue_to(&mut self, text: &'a str) -> Result<(), Flaw> {
        let field = self.fields.last_mut().ok_or(Flaw::NothingToContinue)?;
        field.value = text[self.value..].trim_ascii_end();
        Ok(())
    }
}

/// Bytes of a field's name: printable ASCII but `:`; `#` is a comment before it comes here.
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b':'
}

/// A paragraph in the making, to be printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer(String);

/// The name of a field that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` cannot be the name of a field")]
pub struct BadFieldName(pub String);

impl Explain for BadFieldName {}

impl Writer {
    /// Adds a field. Lines of `value` after the first become continuation lines; those that are
    /// already (they start with a space, as in [`Field::value`]) stay as they are.
    ///
    /// # Errors
    ///
    /// [`BadFieldName`] unless `name` is printable ASCII without `:`, and no `-` or `#` first.
    pub fn field(&mut self, name: &str, value: &str) -> Result<&mut Self, BadFieldName> {
        if name.is_empty() || !name.bytes().all(is_name_byte) || name.starts_with(['-', '#']) {
            return Err(BadFieldName(name.to_owned()));
        }
        self.0 += name;
        self.0.push(':');
        for (at, line) in value.trim_ascii_end().split('\n').enumerate() {
            let text = line.trim_ascii_end();
            match (at, text) {
                (0, "") => {}
                (0, text) => self.0.extend([" ", text.trim_ascii_start()]),
                (_, "") => self.0 += "\n .",
                (_, text) if text.starts_with([' ', '\t']) => self.0.extend(["\n", text]),
                (_, text) => self.0.extend(["\n ", text]),
            }
        }
        self.0.push('\n');
        Ok(self)
    }

    /// The paragraph, ending with the last field's newline.
    pub fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TWO: &str = "\
Package: tini
Description: tiny init
 first
 .
  indented
# a comment

Package:\tbash
Conffiles:
 /etc/bash.bashrc 89269e
";

    #[test]
    fn paragraphs_and_fields_come_in_order() {
        let two: Vec<_> = paragraphs(TWO).map(Result::unwrap).collect();
        assert_eq!(two.iter().map(|paragraph| paragraph.line).collect::<Vec<_>>(), [1, 8]);
        assert_eq!(two[0].get("package"), Some("tini"));
        assert_eq!(two[0].get("Description"), Some("tiny init\n first\n .\n  indented"));
        assert_eq!(two[0].get("Source"), None);
        assert_eq!(two[1].get("PACKAGE"), Some("bash"));
        assert_eq!(two[1].get("Conffiles"), Some("\n /etc/bash.bashrc 89269e"));
    }

    #[test]
    fn the_lines_of_a_value_lose_their_marks() {
        let first = paragraphs(TWO).next().unwrap().unwrap();
        let lines: Vec<_> = first.fields[1].lines().collect();
        assert_eq!(lines, ["tiny init", "first", "", " indented"]);
    }

    #[test]
    fn what_is_malformed_is_named_with_its_line() {
        #[rustfmt::skip]
        let cases = [
            (" x\n",              "line 1: a continuation line without a field before it"),
            ("A: b\n\n\tx\n",   "line 3: a continuation line without a field before it"),
            ("A: b\nc\n",        "line 2: `c` is neither a field (`Name: value`) nor a continuation"),
            ("A: b\n: c\n",      "line 2: `: c` is neither a field (`Name: value`) nor a continuation"),
            ("-A: b",             "line 1: `-A: b` is neither a field (`Name: value`) nor a continuation"),
            ("A B: c",            "line 1: `A B: c` is neither a field (`Name: value`) nor a continuation"),
            ("A: b\nB: c\na: d", "line 3: the field a is there twice"),
        ];
        for (text, message) in cases {
            let error = paragraphs(text).find_map(Result::err);
            assert_eq!(error.map(|error| error.to_string()).as_deref(), Some(message), "{text:?}");
        }
    }

    #[test]
    fn a_single_paragraph_is_neither_none_nor_two() {
        assert_eq!(single("\nA: b\n\n").unwrap().line, 2);
        assert_eq!(single("\n# x\n").unwrap_err().flaw, Flaw::Empty);
        assert_eq!(single(TWO).unwrap_err(), Malformed { line: 8, flaw: Flaw::Second });
    }

    #[test]
    fn a_value_that_needs_it_is_folded() {
        let mut writer = Writer::default();
        writer.field("A", "one\n\ntwo").unwrap().field("B", "").unwrap();
        assert_eq!(writer.finish(), "A: one\n .\n two\nB:\n");
        assert_eq!(Writer::default().field("A\nB", "x"), Err(BadFieldName("A\nB".into())));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in "[ a-z.#\n\t]{0,20}") {
            let mut writer = Writer::default();
            writer.field("First", &value).unwrap().field("Last", "x").unwrap();
            let text = writer.finish();
            let paragraph = single(&text).unwrap();
            prop_assert_eq!(paragraph.fields.len(), 2);
            // A value as it is read is a value that stays the same when written.
            let read = paragraph.get("First").unwrap();
            let mut again = Writer::default();
            again.field("First", read).unwrap().field("Last", "x").unwrap();
            prop_assert_eq!(again.finish(), text);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "[A: \n\t#.é]{0,30}") {
            paragraphs(&text).for_each(drop);
        }
    }
}
