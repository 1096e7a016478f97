//! What the control file of a package may say where it becomes a part of an index.

use std::path::Path;

use formats::relation::{BadRelation, Relations};

use super::PublishError;
use crate::control::Control;

/// How many bytes a control file may have. Debian's longest has 76 338 (librust-winapi-dev of Debian 12, for its
/// `Provides`), ours 38 275 (a kernel, for the flaws that it fixes); whoever reads the index reads all of them.
const LONGEST: usize = 256 << 10;

/// What an index says about a package and no package says about itself.
const INDEX_FIELDS: [&str; 7] =
    ["Filename", "Size", "MD5sum", "SHA1", "SHA256", "SHA512", "Description-md5"];

/// Fields that name other packages. apt reads no index at all that has one of them in another form.
const RELATIONS: [&str; 9] = [
    "Pre-Depends",
    "Depends",
    "Recommends",
    "Suggests",
    "Enhances",
    "Conflicts",
    "Breaks",
    "Replaces",
    "Provides",
];

/// Refuses the control file of the package at `from` if no index can have it.
///
/// # Errors
///
/// [`PublishError::Injected`], [`PublishError::TooLong`], [`PublishError::Relation`].
pub(super) fn check(from: &Path, control: &Control) -> Result<(), PublishError> {
    let package = || from.display().to_string();
    if let Some(field) = INDEX_FIELDS.into_iter().find(|field| control.get(field).is_some()) {
        return Err(PublishError::Injected { package: package(), field });
    }
    let length = control.to_string().len();
    if length > LONGEST {
        return Err(PublishError::TooLong { package: package(), length, longest: LONGEST });
    }
    for field in RELATIONS {
        relations(control.get(field).unwrap_or_default())
            .map_err(|source| PublishError::Relation { package: package(), field, source })?;
    }
    Ok(())
}

/// Reads what a binary package says of others: architectures and profiles are for sources only.
///
/// Source: Debian Policy, section 7.1.
fn relations(value: &str) -> Result<(), BadRelation> {
    let relations = Relations::parse(value)?;
    for relation in relations.groups.iter().flat_map(|group| &group.alternatives) {
        if let Some(rest) = relation.architectures.or(relation.profiles) {
            let (relation, rest) = (relation.to_string(), rest.to_owned());
            return Err(BadRelation::Rest { relation, rest });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(fields: &str) -> Result<(), String> {
        let text = format!("Package: a\nVersion: 1\nArchitecture: all\n{fields}");
        let error = check(Path::new("a.deb"), &Control::parse(&text).unwrap());
        error.map_err(|error| base::explain::render(&error))
    }

    #[test]
    fn every_field_that_names_packages_is_read() {
        let all =
            "Pre-Depends Depends Recommends Suggests Enhances Conflicts Breaks Replaces Provides";
        for field in all.split(' ') {
            let good = "b (>= 1~) | c:any, d,\n e";
            assert_eq!(checked(&format!("{field}: {good}\n")), Ok(()), "{field}");
            let text = checked(&format!("{}: b, c (>= 1\n", field.to_lowercase())).unwrap_err();
            assert!(text.contains(&format!("the field {field} of a.deb is broken")), "{text}");
            assert!(text.contains("hint: "), "{text}");
        }
    }

    #[test]
    fn what_only_sources_may_say_of_others_is_refused() {
        for (value, rest) in [("b [amd64]", "amd64"), ("b <!nocheck>", "<!nocheck>")] {
            let text = checked(&format!("Depends: c, {value}\n")).unwrap_err();
            assert!(text.contains(&format!("`{rest}` is not understood")), "{text}");
        }
    }

    #[test]
    fn a_control_file_that_is_longer_than_any_is_refused() {
        let own = "Package: a\nVersion: 1\nArchitecture: all\nX: \n".len();
        let field = |length: usize| format!("X: {}\n", "x".repeat(length - own));
        assert_eq!(checked(&field(LONGEST)), Ok(()));
        let text = checked(&field(LONGEST + 1)).unwrap_err();
        assert!(text.contains("262145 bytes long, and at most 262144"), "{text}");
    }
}
