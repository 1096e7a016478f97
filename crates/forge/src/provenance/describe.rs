//! What the packages and the layer of an image were made from.

use std::collections::BTreeSet;

use base::file::{self, FileError};
use base::{Digest, Failure};
use compose::Input;
use formats::PackageName;
use packages::control::Control;
use packages::deb::Deb;
use packages::fixes::ORIGIN_FIELD;

use super::ProvenanceError;
use super::statement::{Build, Resource, Statement};
use crate::context::Context;
use crate::kernel::SOURCE_PACKAGE;
use crate::layer::{self, Layer};
use crate::package::Job;
use crate::recipe::Recipes;
use crate::supply::Supply;
use crate::tools::ToolRoot;

/// The statements about the image `name`, by the names of their files: one for each package, one for each
/// source package that was built, one for the layer, which is
/// composed unless the cache has it.
///
/// # Errors
///
/// What curating and composing fail with.
pub(super) fn image(context: &Context, name: &str) -> Result<Vec<(String, Statement)>, Failure> {
    let request = layer::described(context, name)?.request;
    let makers = Makers {
        recipes: Recipes::load(&context.root.join("os/packages"))?,
        supply: Supply::open(context)?,
        compiler: ToolRoot::foreseen(context, "build")?.identity(),
    };
    let mut statements = Vec::new();
    let (mut packages, mut origins) = (Vec::new(), BTreeSet::new());
    for input in &request.packages {
        let control = Deb::open(&input.deb).map_err(ProvenanceError::from)?.control().clone();
        let file = Resource::new(file_name(&control), input.digest);
        packages.push(file.clone());
        origins.extend(origin(&control));
        let (build, dependencies) = makers.of(&control, input)?;
        let parameters = [("package", control.name().as_str()), ("suite", input.suite.as_str())];
        let statement = Statement::new(build, vec![file], &parameters, dependencies);
        statements.push((control.name().to_string(), statement));
    }
    statements.extend(builds(context, &makers, &origins)?);
    let tools = ToolRoot::open(context, "image")?;
    let layers = layer::layers(context, &tools, &request)?;
    let layer = &layers[layers.len() - 1]; // the image's own is always there
    let mut dependencies = packages;
    dependencies.push(Resource::new("tools/image", tools.identity()));
    for path in ["os/packages.lock".to_owned(), format!("os/images/{name}.toml")] {
        dependencies.push(checked_in(context, &path)?);
    }
    statements.push((format!("layer-{}", layer.layer.name), of_layer(layer, name, dependencies)));
    Ok(statements)
}

fn of_layer(layer: &Layer, image: &str, dependencies: Vec<Resource>) -> Statement {
    let of = &layer.layer;
    let subject = vec![
        Resource::new(format!("{}.erofs", of.name), of.erofs),
        Resource::new(format!("{}.erofs.verity", of.name), of.verity),
    ];
    let parameters = [("image", image), ("version", &layer.version), ("build", &layer.build_id)];
    Statement::new(Build::Compose, subject, &parameters, dependencies)
}

/// The statements about source packages that were built, where one of the packages made of them has a digest among
/// `origins`.
fn builds(
    context: &Context,
    makers: &Makers,
    origins: &BTreeSet<Digest>,
) -> Result<Vec<(String, Statement)>, Failure> {
    let Makers { recipes, supply, .. } = makers;
    let root = ToolRoot::foreseen(context, "packages")?.identity();
    let mut statements = Vec::new();
    for job in Job::of(context, recipes, supply)?.into_values() {
        let Some(built) = job.kept(context) else { continue };
        if !built.packages.values().any(|package| origins.contains(&package.sha256)) {
            continue;
        }
        let subject = built.packages.values();
        let subject = subject.map(|it| Resource::new(&*it.file, it.sha256)).collect();
        let sources = job.source.files.iter();
        let mut of: Vec<_> = sources.map(|it| Resource::new(it.name(), it.sha256)).collect();
        of.push(checked_in(context, "os/packages/build.toml")?);
        let mut covering = job.source.packages.iter().filter_map(|name| recipes.for_package(name));
        let recipe = covering.find(|recipe| recipe.declared.build.is_some());
        of.extend(recipe.map(|it| Resource::new(format!("os/packages/{}", it.name), it.digest)));
        of.push(Resource::new("tools/packages", root));
        of.extend(job.set.packages.iter().filter_map(|name| makers.locked(name)));
        let signed =
            if built.signed_by_developer { "a developer and the archive" } else { "the archive" };
        let version = job.source.version.as_str();
        let parameters =
            [("source", job.name.as_str()), ("version", version), ("signed by", signed)];
        let statement = Statement::new(Build::Package, subject, &parameters, of);
        statements.push((format!("source-{}", job.name), statement));
    }
    Ok(statements)
}

/// The package that the one of `control` was curated from.
fn origin(control: &Control) -> Option<Digest> {
    control.get(ORIGIN_FIELD)?.parse().ok()
}

/// A file of the checkout.
fn checked_in(context: &Context, path: &str) -> Result<Resource, FileError> {
    let bytes = file::read(&context.root.join(path))?;
    Ok(Resource::new(path, Digest::of(&bytes)))
}

/// The name of a package's file in an archive, where the epoch is left out.
fn file_name(control: &Control) -> String {
    let version = control.version().as_str();
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    format!("{}_{version}_{}.deb", control.name(), control.architecture())
}

/// What makes packages.
struct Makers {
    recipes: Recipes,
    supply: Supply,
    /// The root in which kernels are compiled.
    compiler: Digest,
}

impl Makers {
    /// How the package of `control` was made, and from what.
    fn of(&self, control: &Control, input: &Input) -> Result<(Build, Vec<Resource>), Failure> {
        let name = control.name();
        let mut dependencies = Vec::new();
        let Some(recipe) = self.recipes.for_package(name) else {
            let source: PackageName = SOURCE_PACKAGE.parse()?;
            dependencies.extend(self.locked(&source));
            dependencies.push(Resource::new("tools/build", self.compiler));
            return Ok((Build::Kernel, dependencies));
        };
        if let Some(origin) = origin(control) {
            // The lock's package, unless it was built from source, or a development build took a newer one.
            let locked = self.locked(name).filter(|it| it.is(&origin));
            let unlocked = || Resource::new(format!("{name} of {}", input.suite), origin);
            dependencies.push(locked.unwrap_or_else(unlocked));
        }
        dependencies.push(Resource::new(format!("os/packages/{}", recipe.name), recipe.digest));
        Ok((Build::Curate, dependencies))
    }

    /// The package `name` as the lock has it.
    fn locked(&self, name: &PackageName) -> Option<Resource> {
        let locked = self.supply.lock.packages.get(name)?;
        let file = locked.filename.rsplit('/').next().unwrap_or_default();
        Some(Resource::new(file, locked.sha256))
    }
}
