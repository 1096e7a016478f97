//! A part: a package of files that the recipe drops from one of Debian's, for images that want them.

use formats::PackageName;
use packages::control::{BUILD_FLAGS, Control};
use packages::deb::Deb;

use super::tree::{Node, Shape, Tree};
use super::{Problem, Record, Review, select, written};
use crate::recipe::{Part, Recipe};

/// Makes the part `name` of `deb`, the package that it is a part of.
///
/// # Errors
///
/// [`Problem`] if the package is unsound.
pub(super) fn curated(
    deb: &Deb,
    (name, part): (&PackageName, &Part),
    recipe: &Recipe,
) -> Result<(Vec<u8>, Record), Problem> {
    let mut review = Review::default();
    let mut tree = Tree::read(deb)?;
    for pattern in &part.files {
        if !tree.nodes.keys().any(|path| pattern.matches(path)) {
            review.warn(format!("`files` matches nothing with {}", pattern.as_str()));
        }
    }
    let wanted = |path: &str| part.files.iter().any(|pattern| pattern.matches(path));
    tree.nodes.retain(|path, node| {
        node.shape == Shape::Folder || wanted(path) && select::is_inside(path)
    });
    for (path, target) in &part.links {
        let link = Shape::Link(target.as_str().to_owned());
        tree.nodes.insert(path.to_string(), Node::ours(0o777, link));
    }
    select::remove_empty_folders(&mut tree, |_| false);
    written(tree, control(deb.control(), (name, part), recipe)?, review)
}

/// Its control file: it goes with just the version of the package that it is a part of.
fn control(
    debian: &Control,
    (name, part): (&PackageName, &Part),
    recipe: &Recipe,
) -> Result<Control, Problem> {
    let (source, source_version) = debian.source();
    let (of, version) = (&part.of, debian.version());
    let mut depends = vec![format!("{of} (>= {version})"), format!("{of} (<< {version}+1)")];
    depends.extend(part.needs.iter().map(ToString::to_string));
    let mut control = Control::parse(&format!(
        "Package: {name}\nSource: {source} ({source_version})\nVersion: {}\nArchitecture: {}\n\
         Maintainer: Preon OS\nDepends: {}\nDescription: {}\n",
        super::version(version, recipe, Some(debian)),
        debian.architecture(),
        depends.join(", "),
        part.summary,
    ))?;
    control.set(BUILD_FLAGS, debian.get(BUILD_FLAGS).unwrap_or_default());
    Ok(control)
}
