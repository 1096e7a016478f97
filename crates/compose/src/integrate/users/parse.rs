//! One line of sysusers.d.

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    User(User),
    Group { name: String, number: Number },
    Member { user: String, group: String },
    Range,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) number: Number,
    pub(super) primary: Primary,
    pub(super) description: String,
    pub(super) home: String,
    pub(super) shell: String,
}

/// The number of a user or group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Fixed(u32),
    /// Systemd would draw one, or take that of a file's owner.
    Open,
}

/// The primary group of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Primary {
    /// Of the user's own name.
    Own,
    Name(String),
    Number(u32),
}

/// Reads a line that is no comment.
///
/// # Errors
///
/// What is wrong with it.
pub(super) fn line(text: &str) -> Result<Line, String> {
    let words = crate::words::split(text).ok_or("a quote is not closed")?;
    if let Some(word) = words.iter().find(|word| word.contains('%')) {
        return Err(format!("`{word}` holds a specifier, which is not known at build time"));
    }
    let field =
        |at: usize| words.get(at).map(String::as_str).filter(|word| !matches!(*word, "-" | ""));
    let action = field(0).unwrap_or_default();
    let name = field(1).unwrap_or_default();
    if words.len() > 6 {
        return Err("more than six fields; quote the description".into());
    }
    match action.strip_suffix('!').unwrap_or(action) {
        "u" => user(name, field(2), [field(3), field(4), field(5)]),
        "g" => Ok(Line::Group { name: account(name)?, number: number(field(2))? }),
        "m" => {
            Ok(Line::Member { user: account(name)?, group: account(field(2).unwrap_or_default())? })
        }
        "r" => Ok(Line::Range),
        _ => Err(format!("`{action}` is no kind of line (u, g, m, r)")),
    }
}

fn user(name: &str, id: Option<&str>, rest: [Option<&str>; 3]) -> Result<Line, String> {
    let name = account(name)?;
    let (uid, primary) = match id.and_then(|id| id.split_once(':')) {
        Some((uid, group)) if !uid.starts_with('/') => {
            let primary = match group.parse() {
                Ok(gid) => Primary::Number(gid),
                Err(_) => Primary::Name(account(group)?),
            };
            (Some(uid).filter(|uid| *uid != "-"), primary)
        }
        _ => (id, Primary::Own),
    };
    let [description, home, shell] = rest;
    if rest.iter().flatten().any(|text| text.contains([':', '\n'])) {
        return Err("a field holds a colon".into());
    }
    let number = number(uid)?;
    let usual_shell = if number == Number::Fixed(0) { "/bin/sh" } else { "/usr/sbin/nologin" };
    Ok(Line::User(User {
        name,
        number,
        primary,
        description: description.unwrap_or_default().to_owned(),
        home: home.unwrap_or("/").to_owned(),
        shell: shell.unwrap_or(usual_shell).to_owned(),
    }))
}

fn number(field: Option<&str>) -> Result<Number, String> {
    match field {
        None => Ok(Number::Open),
        Some(path) if path.starts_with('/') => Ok(Number::Open),
        Some(text) => match text.parse() {
            // The two that system calls take for "none". Source: sysusers.d(5), chown(2).
            Ok(0xFFFF | u32::MAX) | Err(_) => Err(format!("`{text}` is no number for an account")),
            Ok(number) => Ok(Number::Fixed(number)),
        },
    }
}

/// Source: systemd's "User/Group Name Syntax", strict form.
fn account(name: &str) -> Result<String, String> {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let rest = bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if first && rest && name.len() <= 31 {
        Ok(name.to_owned())
    } else {
        Err(format!("`{name}` cannot be the name of a user or group"))
    }
}
