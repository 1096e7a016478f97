//! Which functions of the C library have a form that checks sizes, `__NAME_chk`.
//!
//! Source: the names `__…_chk` that the libc.so.6 of glibc 2.41 exports.

use std::collections::BTreeSet;

/// What has a checked form.
#[rustfmt::skip]
const CHECKED: &[&str] = &[
    "asprintf", "confstr", "dprintf", "explicit_bzero", "fdelt", "fgets", "fgets_unlocked",
    "fgetws", "fgetws_unlocked", "fprintf", "fread", "fread_unlocked", "fwprintf", "getcwd",
    "getdomainname", "getgroups", "gethostname", "getlogin_r", "gets", "getwd", "longjmp",
    "mbsnrtowcs", "mbsrtowcs", "mbstowcs", "memcpy", "memmove", "mempcpy", "memset",
    "obstack_printf", "obstack_vprintf", "poll", "ppoll", "pread", "pread64", "printf", "ptsname_r",
    "read", "readlink", "readlinkat", "realpath", "recv", "recvfrom", "snprintf", "sprintf",
    "stpcpy", "stpncpy", "strcat", "strcpy", "strlcat", "strlcpy", "strncat", "strncpy", "swprintf",
    "syslog", "ttyname_r", "vasprintf", "vdprintf", "vfprintf", "vfwprintf", "vprintf", "vsnprintf",
    "vsprintf", "vswprintf", "vsyslog", "vwprintf", "wcpcpy", "wcpncpy", "wcrtomb", "wcscat",
    "wcscpy", "wcslcat", "wcslcpy", "wcsncat", "wcsncpy", "wcsnrtombs", "wcsrtombs", "wcstombs",
    "wctomb", "wmemcpy", "wmemmove", "wmempcpy", "wmemset", "wprintf",
];

/// How many of `imports` are checked forms, and how many have one and are not it.
pub(super) fn calls(imports: &BTreeSet<&str>) -> (usize, usize) {
    let is_checked = |name: &&&str| {
        let bare = name.strip_prefix("__").and_then(|name| name.strip_suffix("_chk"));
        bare.is_some_and(has_checked_form)
    };
    let checked = imports.iter().filter(is_checked).count();
    (checked, imports.iter().filter(|name| has_checked_form(name)).count())
}

fn has_checked_form(name: &str) -> bool {
    CHECKED.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_so_that_they_are_found() {
        assert!(CHECKED.is_sorted());
    }

    #[test]
    fn checked_and_unchecked_calls_are_counted_apart() {
        let imports =
            ["__memcpy_chk", "__printf_chk", "__stack_chk_fail", "__own_chk", "malloc", "memcpy"];
        assert_eq!(calls(&BTreeSet::from(imports)), (2, 1));
    }
}
