//! Users and groups: sysusers.d lines, whose numbers must be fixed, to `/etc/passwd` and its kin.
//!
//! What systemd-sysusers would do at the first boot is done here, so that the same image has the
//! same numbers on every host. Differences from it: a number that is not fixed is an error, and
//! lines of our own recipes (`preon-*.conf`) win over Debian's.
//!
//! Source: sysusers.d(5).

mod parse;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base::Explain;

use parse::{Line, Number, Primary};

/// A file of sysusers.d: its name and its text.
pub type SysusersFile = (String, String);

/// All users and groups of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, Group>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
    description: String,
    home: String,
    shell: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    gid: u32,
    members: BTreeSet<String>,
}

/// Users and groups cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// A line is not what sysusers.d(5) describes.
    #[error("usr/lib/sysusers.d/{file}, line {line}: {reason}")]
    Malformed {
        /// The file's name.
        file: String,
        /// The line's number, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// Accounts have no fixed number; each is given as `user NAME (FILE)`.
    #[error("accounts without a fixed number: {}", .0.join(", "))]
    NoNumber(Vec<String>),
    /// Two accounts have one number.
    #[error("the {kind}s {first} and {second} both have the number {number}")]
    SameNumber {
        /// `user` or `group`.
        kind: &'static str,
        /// The number.
        number: u32,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// A user's group does not exist.
    #[error("the user {user} has the group {group}, which does not exist")]
    NoGroup {
        /// The user.
        user: String,
        /// The group, by name or number.
        group: String,
    },
    /// A membership names who does not exist.
    #[error("{user} is to be a member of {group}, but the {missing} does not exist")]
    NoMember {
        /// The user.
        user: String,
        /// The group.
        group: String,
        /// `user` or `group`.
        missing: &'static str,
    },
}

impl Explain for UsersError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::NoNumber(_) => {
                Some("give each a number in the recipe, under [[user]] or [[group]]".into())
            }
            Self::SameNumber { .. } => Some("change one of them in its recipe".into()),
            Self::NoGroup { group, .. } => {
                Some(format!("declare the group {group} in a recipe, under [[group]]"))
            }
            Self::Malformed { .. } | Self::NoMember { .. } => None,
        }
    }
}

impl Accounts {
    /// Works out all accounts from the files of sysusers.d, in whatever order they come.
    ///
    /// # Errors
    ///
    /// [`UsersError`]; all accounts without a number are reported at once.
    pub fn from_sysusers(files: &[SysusersFile]) -> Result<Self, UsersError> {
        let mut files: Vec<_> = files.iter().collect();
        files.sort_by_key(|(name, _)| (!name.starts_with("preon-"), name));
        let mut draft = Draft::default();
        for (file, text) in files {
            for (number, line) in crate::words::lines(text) {
                let parsed = parse::line(line).map_err(|reason| UsersError::Malformed {
                    file: file.clone(),
                    line: number,
                    reason,
                })?;
                draft.admit(parsed, file);
            }
        }
        draft.finish()
    }

    /// Whether there is a user of this name or number.
    pub fn has_user(&self, name: &str) -> bool {
        self.users.contains_key(name)
            || name.parse().is_ok_and(|uid: u32| self.users.values().any(|user| user.uid == uid))
    }

    /// Whether there is a group of this name or number.
    pub fn has_group(&self, name: &str) -> bool {
        self.groups.contains_key(name)
            || name.parse().is_ok_and(|gid: u32| self.groups.values().any(|group| group.gid == gid))
    }

    /// The number of the group `name`.
    pub fn gid(&self, name: &str) -> Option<u32> {
        self.groups.get(name).map(|group| group.gid)
    }

    /// The text of `/etc/passwd`, by number. Source: passwd(5).
    pub fn passwd(&self) -> String {
        self.sorted_users().fold(String::new(), |mut text, (name, user)| {
            let User { uid, gid, description, home, shell } = user;
            let _ = writeln!(text, "{name}:x:{uid}:{gid}:{description}:{home}:{shell}");
            text
        })
    }

    /// The text of `/etc/group`, by number. Source: group(5).
    pub fn group(&self) -> String {
        self.sorted_groups().fold(String::new(), |mut text, (name, group)| {
            let _ = writeln!(text, "{name}:x:{}:{}", group.gid, members(group));
            text
        })
    }

    /// The text of `/etc/shadow`: nobody has a password, nothing ever expires. Source: shadow(5).
    ///
    /// Root has `*`, not `!*`: no password fits either, but OpenSSH takes `!` for an account that
    /// is shut, and would refuse root's keys too where PAM is off.
    pub fn shadow(&self) -> String {
        self.sorted_users().fold(String::new(), |mut text, (name, user)| {
            let password = if user.uid == 0 { "*" } else { "!*" };
            let _ = writeln!(text, "{name}:{password}:::::::");
            text
        })
    }

    /// The text of `/etc/gshadow`. Source: gshadow(5).
    pub fn gshadow(&self) -> String {
        self.sorted_groups().fold(String::new(), |mut text, (name, group)| {
            let _ = writeln!(text, "{name}:!*::{}", members(group));
            text
        })
    }

    fn sorted_users(&self) -> impl Iterator<Item = (&String, &User)> {
        let mut users: Vec<_> = self.users.iter().collect();
        users.sort_by_key(|(_, user)| user.uid);
        users.into_iter()
    }

    fn sorted_groups(&self) -> impl Iterator<Item = (&String, &Group)> {
        let mut groups: Vec<_> = self.groups.iter().collect();
        groups.sort_by_key(|(_, group)| group.gid);
        groups.into_iter()
    }
}

fn members(group: &Group) -> String {
    group.members.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// What the lines said, before the numbers are checked. The first line about a name counts.
#[derive(Default)]
struct Draft {
    users: BTreeMap<String, (parse::User, String)>,
    groups: BTreeMap<String, (Number, String)>,
    members: BTreeSet<(String, String)>,
}

impl Draft {
    fn admit(&mut self, line: Line, file: &str) {
        match line {
            Line::User(user) => {
                self.users.entry(user.name.clone()).or_insert((user, file.to_owned()));
            }
            Line::Group { name, number } => {
                self.groups.entry(name).or_insert((number, file.to_owned()));
            }
            Line::Member { user, group } => {
                self.members.insert((user, group));
            }
            Line::Range => {} // numbers are never drawn, so no range is needed
        }
    }

    fn finish(self) -> Result<Accounts, UsersError> {
        self.check_numbers()?;
        let mut accounts = Accounts::default();
        for (name, (number, _)) in self.groups {
            if let Number::Fixed(gid) = number {
                accounts.groups.insert(name, Group { gid, members: BTreeSet::new() });
            }
        }
        let mut users = Vec::new();
        for (name, (user, _)) in self.users {
            let Number::Fixed(uid) = user.number else { continue };
            if user.primary == Primary::Own {
                let own = Group { gid: uid, members: BTreeSet::new() };
                accounts.groups.entry(name.clone()).or_insert(own);
            }
            users.push((name, uid, user));
        }
        for (name, uid, user) in users {
            let gid = accounts.primary(&name, &user.primary)?;
            let parse::User { description, home, shell, .. } = user;
            accounts.users.insert(name, User { uid, gid, description, home, shell });
        }
        for (user, group) in self.members {
            accounts.join(user, group)?;
        }
        unique("user", accounts.users.iter().map(|(name, user)| (user.uid, name)))?;
        unique("group", accounts.groups.iter().map(|(name, group)| (group.gid, name)))?;
        Ok(accounts)
    }

    /// Whether the group is that of a user of the same name, whose number it then has.
    fn is_own_group(&self, name: &str) -> bool {
        self.users.get(name).is_some_and(|(user, _)| user.primary == Primary::Own)
    }

    fn check_numbers(&self) -> Result<(), UsersError> {
        let users = self
            .users
            .iter()
            .filter(|(_, (user, _))| user.number == Number::Open)
            .map(|(name, (_, file))| format!("user {name} ({file})"));
        let groups = self
            .groups
            .iter()
            .filter(|(name, (number, _))| *number == Number::Open && !self.is_own_group(name))
            .map(|(name, (_, file))| format!("group {name} ({file})"));
        let open: Vec<_> = users.chain(groups).collect();
        if open.is_empty() { Ok(()) } else { Err(UsersError::NoNumber(open)) }
    }
}

impl Accounts {
    fn primary(&self, user: &str, primary: &Primary) -> Result<u32, UsersError> {
        let named = |group: &str| self.groups.get(group).map(|group| group.gid);
        let (gid, group) = match primary {
            Primary::Own => (named(user), user.to_owned()),
            Primary::Name(group) => (named(group), group.clone()),
            Primary::Number(gid) => {
                let known = self.groups.values().any(|group| group.gid == *gid);
                (known.then_some(*gid), gid.to_string())
            }
        };
        gid.ok_or(UsersError::NoGroup { user: user.to_owned(), group })
    }

    fn join(&mut self, user: String, group: String) -> Result<(), UsersError> {
        if !self.users.contains_key(&user) {
            return Err(UsersError::NoMember { user, group, missing: "user" });
        }
        match self.groups.get_mut(&group) {
            None => Err(UsersError::NoMember { user, group, missing: "group" }),
            Some(entry) => {
                entry.members.insert(user);
                Ok(())
            }
        }
    }
}

fn unique<'a>(
    kind: &'static str,
    numbers: impl Iterator<Item = (u32, &'a String)>,
) -> Result<(), UsersError> {
    let mut seen = BTreeMap::new();
    for (number, name) in numbers {
        if let Some(first) = seen.insert(number, name) {
            let (first, second) = (first.clone(), name.clone());
            return Err(UsersError::SameNumber { kind, number, first, second });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
