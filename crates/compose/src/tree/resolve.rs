//! Following symbolic links as the running host would.

use super::{Kind, Node, Tree};
use crate::path::{ETC, UsrPath};

/// How many links are followed, as in the kernel. Source: path_resolution(7).
const MOST_LINKS: usize = 40;

impl Tree {
    /// Finds what the host would open at the absolute path `path`, following links, with the
    /// host's links at the root (`/bin` is `/usr/bin`) and `/etc` at its defaults.
    ///
    /// `None` if nothing is there, or if the way leads to what no layer holds (`/var`, `/run`).
    pub fn resolve(&self, path: &str) -> Option<(&UsrPath, &Node)> {
        let mut todo: Vec<String> = path.rsplit('/').map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        let mut found = None;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    found = self.at(&at);
                    continue;
                }
                "bin" | "sbin" | "lib" | "lib32" | "lib64" if at.is_empty() => {
                    at.push("usr".into());
                }
                _ => {}
            }
            at.push(part);
            let here = self.at(&at)?;
            if let Kind::Symlink(target) = &here.1.kind {
                links += 1;
                if links > MOST_LINKS {
                    return None;
                }
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                todo.extend(target.rsplit('/').map(str::to_owned));
            } else if !matches!(here.1.kind, Kind::Folder) && !todo.is_empty() {
                return None;
            }
            found = Some(here);
        }
        found.filter(|(_, node)| !matches!(node.kind, Kind::Whiteout))
    }

    fn at(&self, parts: &[String]) -> Option<(&UsrPath, &Node)> {
        let path = match parts.split_first() {
            Some((first, rest)) if first == "etc" => std::iter::once(ETC)
                .chain(rest.iter().map(String::as_str))
                .collect::<Vec<_>>()
                .join("/"),
            _ => parts.join("/"),
        };
        self.nodes.get_key_value(path.as_str())
    }
}
