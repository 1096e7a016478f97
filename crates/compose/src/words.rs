//! Splitting the lines of systemd's configuration files into words.

/// Splits a line into words at white space. Quotes keep white space together and are taken off; a
/// backslash takes the next character as it is. `None` if a quote is not closed.
///
/// Source: systemd.syntax(7), "Quoting".
pub(crate) fn split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut characters = line.trim().chars().peekable();
    while let Some(first) = characters.peek() {
        if first.is_ascii_whitespace() {
            characters.next();
            continue;
        }
        let mut word = String::new();
        let mut quote = None;
        loop {
            match (characters.next(), quote) {
                (None, Some(_)) => return None,
                (None, None) => break,
                (Some('\\'), _) => word.push(characters.next()?),
                (Some(c), Some(open)) if c == open => quote = None,
                (Some(c), Some(_)) => word.push(c),
                (Some(c @ ('"' | '\'')), None) => quote = Some(c),
                (Some(c), None) if c.is_ascii_whitespace() => break,
                (Some(c), None) => word.push(c),
            }
        }
        words.push(word);
    }
    Some(words)
}

/// The lines that are neither empty nor a comment, with their numbers from 1.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', ';']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_keep_words_together() {
        #[rustfmt::skip]
        let cases = [
            ("u a  1 \"b c\" -",  Some(vec!["u", "a", "1", "b c", "-"])),
            ("a'b c'd",           Some(vec!["ab cd"])),
            ("a\\ b \"c\\\"d\"",  Some(vec!["a b", "c\"d"])),
            ("\"\"",              Some(vec![""])),
            ("  ",                Some(vec![])),
            ("\"open",            None),
            ("end\\",             None),
        ];
        for (line, expected) in cases {
            let expected = expected.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(split(line), expected, "{line}");
        }
    }
}
