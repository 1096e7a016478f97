//! `ld.so.cache`: where the dynamic linker finds libraries.
//!
//! Source: glibc 2.41, sysdeps/generic/dl-cache.h and elf/cache.c.

use std::cmp::Ordering;

use base::Explain;

/// One library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// The name that programs ask for, such as `libc.so.6`.
    pub soname: String,
    /// Where it lies, from the root.
    pub path: String,
}

/// Why no cache can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// The library has no name or no path, or a NUL character in one of them.
    #[error("the library `{soname}` at `{path}` cannot be in ld.so.cache")]
    Library {
        /// The name.
        soname: String,
        /// The path.
        path: String,
    },
    /// The cache would be longer than 4 GiB.
    #[error("{0} libraries are too many for ld.so.cache")]
    TooMany(usize),
}

impl Explain for CacheError {}

const HEADER: usize = 48;
const ENTRY: usize = 24;
/// `FLAG_ELF_LIBC6 | FLAG_X8664_LIB64`
const X86_64: u32 = 0x0303;

/// The bytes of an `ld.so.cache` with x86-64 libraries in any order. Of those with the same name
/// the one that comes first is found.
///
/// # Errors
///
/// [`CacheError`].
pub fn encode(libraries: &[Library]) -> Result<Vec<u8>, CacheError> {
    for Library { soname, path } in libraries {
        let bad = |text: &str| text.is_empty() || text.contains('\0');
        if bad(soname) || bad(path) {
            return Err(CacheError::Library { soname: soname.clone(), path: path.clone() });
        }
    }
    let mut sorted: Vec<&Library> = libraries.iter().collect();
    // The linker searches by halves in falling order.
    sorted.sort_by(|one, other| compare(&other.soname, &one.soname));

    let too_many = |_| CacheError::TooMany(libraries.len());
    let strings_start = HEADER + sorted.len() * ENTRY;
    let mut entries = Vec::with_capacity(sorted.len() * ENTRY);
    let mut strings = Vec::new();
    for library in &sorted {
        let mut place = |text: &str| {
            let offset = u32::try_from(strings_start + strings.len()).map_err(too_many);
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            offset
        };
        let (key, value) = (place(&library.soname)?, place(&library.path)?);
        // Flags, name, path, unused (4), hardware capabilities (8): any machine.
        for field in [X86_64, key, value, 0, 0, 0] {
            entries.extend(field.to_le_bytes());
        }
    }
    let count = u32::try_from(sorted.len()).map_err(too_many)?;
    let length = u32::try_from(strings.len()).map_err(too_many)?;
    Ok([&header(count, length), &entries[..], &strings].concat())
}

fn header(count: u32, strings: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..20].copy_from_slice(b"glibc-ld.so.cache1.1");
    header[20..24].copy_from_slice(&count.to_le_bytes());
    header[24..28].copy_from_slice(&strings.to_le_bytes());
    header[28] = 2; // little-endian
    header
}

/// The order of `_dl_cache_libcmp`: runs of digits by their number, all else by byte.
fn compare(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    loop {
        match (one, other) {
            ([], []) => return Ordering::Equal,
            ([], _) => return Ordering::Less,
            (_, []) => return Ordering::Greater,
            ([a, rest @ ..], [b, other_rest @ ..]) => {
                let order = match (a.is_ascii_digit(), b.is_ascii_digit()) {
                    (true, true) => number(&mut one).cmp(&number(&mut other)),
                    (true, false) => return Ordering::Greater,
                    (false, true) => return Ordering::Less,
                    (false, false) => {
                        (one, other) = (rest, other_rest);
                        a.cast_signed().cmp(&b.cast_signed())
                    }
                };
                if order.is_ne() {
                    return order;
                }
            }
        }
    }
}

/// Takes the digits off the front; the number wraps at 32 bits, as there.
fn number(text: &mut &[u8]) -> i32 {
    let mut number = 0_i32;
    while let [digit @ b'0'..=b'9', rest @ ..] = *text {
        number = number.wrapping_mul(10).wrapping_add(i32::from(digit - b'0'));
        *text = rest;
    }
    number
}

#[cfg(test)]
mod tests {
    use base::child::{Program, run};
    use std::path::Path;

    use super::*;

    fn library(soname: &str, folder: &str) -> Library {
        Library { soname: soname.into(), path: format!("{folder}/{soname}") }
    }

    fn ldconfig(cache: Option<&Path>) -> Vec<Library> {
        let mut command = Program::new("ldconfig").command();
        command.arg("-p");
        if let Some(cache) = cache {
            command.arg("-C").arg(cache);
        }
        let text = String::from_utf8(run(&mut command).unwrap()).unwrap();
        text.lines()
            .filter_map(|line| line.trim().split_once(" (libc6,x86-64) => "))
            .map(|(soname, path)| Library { soname: soname.into(), path: path.into() })
            .collect()
    }

    fn listed(libraries: &[Library]) -> Vec<Library> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ld.so.cache");
        std::fs::write(&path, encode(libraries).unwrap()).unwrap();
        ldconfig(Some(&path))
    }

    #[test]
    fn libraries_come_in_the_order_that_ldconfig_gives_them() {
        let machine = ldconfig(None);
        assert!(machine.len() > 20);
        let mut shuffled = machine.clone();
        shuffled.sort_by_key(|library| base::Digest::of(library.path.as_bytes()));
        // Of one name the first is found, so these stay in their order.
        shuffled.sort_by_key(|library| {
            machine.iter().position(|it| it.soname == library.soname).map(|at| at % 7)
        });
        let names = |libraries: &[Library]| -> Vec<String> {
            libraries.iter().map(|library| library.soname.clone()).collect()
        };
        assert_eq!(names(&listed(&shuffled)), names(&machine));
    }

    #[test]
    fn of_one_name_the_first_library_comes_first() {
        let libraries =
            [library("liba.so.1", "/z"), library("liba.so.1", "/b"), library("libb.so", "/a")];
        let paths: Vec<_> = listed(&libraries).into_iter().map(|library| library.path).collect();
        assert_eq!(paths, ["/a/libb.so", "/z/liba.so.1", "/b/liba.so.1"]);
    }

    #[test]
    fn names_compare_by_number_and_letter() {
        #[rustfmt::skip]
        let rising = ["lib-x", "lib.so", "liba.so", "liba.so.2", "liba.so.10", "lib9.so", "lib10.so"];
        for pair in rising.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
    }

    #[test]
    fn what_the_cache_cannot_hold_is_refused() {
        for (soname, path) in [("", "/a"), ("a", ""), ("a\0", "/a"), ("a", "/a\0")] {
            let libraries = [Library { soname: soname.into(), path: path.into() }];
            assert!(encode(&libraries).is_err(), "{libraries:?}");
        }
        assert_eq!(listed(&[]), []);
    }
}
