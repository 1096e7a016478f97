//! What somebody may have meant who wrote a name that is not known.

/// The known name that is nearest to `wrong`, if any is near enough to be meant.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // One mistake in three letters; short names are near to everything.
    let near = (wrong.chars().count() / 3).clamp(1, 3);
    let distances = known.into_iter().map(|name| (strsim::damerau_levenshtein(wrong, name), name));
    distances.filter(|(distance, _)| *distance <= near).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_meant_unless_all_are_far() {
        let known = ["minimal", "oci", "openssh-client", "openssh-server", "sed", "tar"];
        #[rustfmt::skip]
        let cases = [
            ("minmal",         Some("minimal")),
            ("oic",            Some("oci")), // neighbours that changed places are one mistake
            ("openssh-serer",  Some("openssh-server")),
            ("openssh-cleint", Some("openssh-client")),
            ("sd",             Some("sed")),
            ("ocl",            Some("oci")),
            ("full",           None),
            ("tt",             None), // two mistakes in two letters
            ("openssh-abcdnt", None), // four mistakes
            ("",               None),
        ];
        for (wrong, meant) in cases {
            assert_eq!(nearest(wrong, known), meant, "{wrong}");
        }
    }
}
