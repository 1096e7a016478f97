//! Which modules must be loaded for others, and in which order.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// The paths of the modules `wanted`, each after those that it needs, as the text of a `modules.dep`
/// tells. What the text of `modules.builtin` names is in the kernel and not loaded.
///
/// # Errors
///
/// If neither names one of them.
///
/// Source: depmod(8), modules.dep(5).
pub(super) fn order(depends: &str, builtin: &str, wanted: &[&str]) -> Result<Vec<String>> {
    let lines = depends.lines().filter_map(|line| line.split_once(':'));
    let needs: BTreeMap<String, (&str, &str)> =
        lines.map(|(path, needs)| (name(path), (path, needs))).collect();
    let mut order: Vec<String> = Vec::new();
    for module in wanted {
        let module = name(module);
        let Some((path, needs)) = needs.get(&module) else {
            builtin
                .lines()
                .find(|path| name(path) == module)
                .with_context(|| format!("Debian's kernel has no module {module}"))?;
            continue;
        };
        // A line names all that the module needs, directly or not, the deepest last.
        for path in needs.split_whitespace().rev().chain([*path]) {
            if !order.iter().any(|known| known == path) {
                order.push(path.to_owned());
            }
        }
    }
    Ok(order)
}

/// The module's name: hyphens and underscores are the same.
fn name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPENDS: &str = "\
kernel/lib/libcrc32c.ko.xz:
kernel/fs/erofs/erofs.ko.xz: kernel/lib/libcrc32c.ko.xz
kernel/drivers/md/dm-verity.ko.xz: kernel/drivers/md/dm-bufio.ko.xz kernel/drivers/md/dm-mod.ko.xz
kernel/drivers/md/dm-crypt.ko.xz: kernel/drivers/md/dm-mod.ko.xz
";
    const BUILTIN: &str = "kernel/drivers/virtio/virtio_pci.ko\n";

    #[test]
    fn a_module_comes_after_what_it_needs_and_only_once() {
        let wanted = ["virtio-pci", "dm_verity", "erofs", "dm-crypt"];
        let order = order(DEPENDS, BUILTIN, &wanted).unwrap();
        let names: Vec<_> = order.iter().map(|path| name(path)).collect();
        assert_eq!(names, ["dm_mod", "dm_bufio", "dm_verity", "libcrc32c", "erofs", "dm_crypt"]);
    }

    #[test]
    fn a_module_that_is_nowhere_is_named() {
        let error = order(DEPENDS, BUILTIN, &["zfs"]).unwrap_err();
        assert_eq!(error.to_string(), "Debian's kernel has no module zfs");
    }
}
