//! What a recipe adds to a package: accounts, tmpfiles, presets, links and files, all in the
//! standard formats that systemd reads.

use std::fmt::Write as _;

use super::tree::{Node, Shape, Tree};
use super::{Problem, Review, select};
use crate::recipe::{
    AccountPath, Content, Group, HostPath, Recipe, Recipes, User, canonical, files_below,
};

/// The shell of those who never log in.
const NO_LOGIN: &str = "/usr/sbin/nologin";

/// Adds to `tree` what `recipe` declares.
///
/// # Errors
///
/// [`Problem`] if its files cannot be read, or lie where no package may put any.
pub(super) fn add(
    tree: &mut Tree,
    recipe: &Recipe,
    recipes: &Recipes,
    review: &mut Review,
) -> Result<(), Problem> {
    let declared = &recipe.declared;
    for (path, target) in &declared.links {
        if tree.nodes.contains_key(path.as_str()) {
            review.warn(format!("the link {path} replaces a file of the package"));
        }
        let link = Shape::Link(target.as_str().to_owned());
        tree.nodes.insert(path.to_string(), Node::ours(0o777, link));
    }
    let name = &recipe.name;
    let texts = [
        (format!("/usr/lib/sysusers.d/preon-{name}.conf"), sysusers(recipe, recipes)),
        (format!("/usr/lib/tmpfiles.d/preon-{name}.conf"), lines(&declared.tmpfiles)),
        (format!("/usr/lib/systemd/system-preset/50-preon-{name}.preset"), presets(recipe)),
    ];
    for (path, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        tree.put_file(path, false, text.into_bytes());
    }
    files(tree, recipe)
}

/// Puts what lies in the recipe's `files/` over the package's own.
fn files(tree: &mut Tree, recipe: &Recipe) -> Result<(), Problem> {
    let folder = recipe.files();
    if !folder.is_dir() {
        return Ok(());
    }
    for file in files_below(&folder)? {
        let path = format!("/{}", file.path);
        let place = HostPath::try_from(path.clone());
        let is_folder = matches!(file.content, Content::Folder);
        if !is_folder && (place.is_err() || !select::is_inside(&path)) {
            return Err(Problem::FilePlace { real: canonical(&path), path });
        }
        put(tree, path, file.content);
    }
    Ok(())
}

/// Puts what lies in a folder of ours at `path` of the package.
pub(super) fn put(tree: &mut Tree, path: String, content: Content) {
    match content {
        Content::Folder => {} // it is there because of what is in it
        Content::Link(text) => {
            tree.nodes.insert(path, Node::ours(0o777, Shape::Link(text)));
        }
        Content::File { executable, bytes } => tree.put_file(path, executable, bytes),
    }
}

/// The recipe's accounts.
///
/// Source: sysusers.d(5).
fn sysusers(recipe: &Recipe, recipes: &Recipes) -> String {
    let mut text = String::new();
    for Group { name, gid, .. } in &recipe.declared.groups {
        let _ = writeln!(text, "g {name} {gid}");
    }
    for user in &recipe.declared.users {
        text += &sysuser(user, recipes);
    }
    for Group { name, members, .. } in &recipe.declared.groups {
        for member in members {
            let _ = writeln!(text, "m {member} {name}");
        }
    }
    text
}

fn sysuser(user: &User, recipes: &Recipes) -> String {
    let User { name, uid, group, home, shell, description } = user;
    let mut text = String::new();
    let gid = match group {
        Some(group) => recipes.gid(group).unwrap_or(*uid),
        None => {
            let _ = writeln!(text, "g {name} {uid}");
            *uid
        }
    };
    let shell = shell.as_ref().map_or(NO_LOGIN, AccountPath::as_str);
    // `!` locks an account for good, also for SSH keys: only where nobody can log in anyway.
    let kind = if shell == NO_LOGIN { "u!" } else { "u" };
    let home = home.as_ref().map_or("-", AccountPath::as_str);
    let description = match description {
        Some(text) => format!("\"{}\"", escaped(&text.to_string())),
        None => "-".to_owned(),
    };
    let _ = writeln!(text, "{kind} {name} {uid}:{gid} {description} {home} {shell}");
    text
}

/// For between double quotes.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%")
}

/// Source: systemd.preset(5).
fn presets(recipe: &Recipe) -> String {
    let presets = recipe.declared.presets.iter();
    presets.map(|(unit, preset)| format!("{preset} {unit}\n")).collect()
}

fn lines(items: &[impl ToString]) -> String {
    items.iter().map(|item| item.to_string() + "\n").collect()
}
