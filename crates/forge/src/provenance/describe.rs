//! What the packages and the layer of an image were made from.

use base::file::{self, FileError};
use base::{Digest, Failure};
use compose::Input;
use formats::PackageName;
use packages::control::{BUILD_FLAGS, Control};
use packages::deb::Deb;
use packages::fixes::ORIGIN_FIELD;

use super::ProvenanceError;
use super::statement::{Build, Resource, Statement};
use crate::context::Context;
use crate::kernel::SOURCE_PACKAGE;
use crate::layer::{self, Layer};
use crate::recipe::Recipes;
use crate::supply::Supply;
use crate::tools::ToolRoot;

/// The statements about the image `name`, by the names of their files: one for each package, one for the layer, which is
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
    let mut packages = Vec::new();
    for input in &request.packages {
        let control = Deb::open(&input.deb).map_err(ProvenanceError::from)?.control().clone();
        let file = Resource::new(file_name(&control), input.digest);
        packages.push(file.clone());
        let (build, dependencies) = makers.of(&control, input)?;
        let parameters = [("package", control.name().as_str()), ("suite", input.suite.as_str())];
        let statement = Statement::new(build, vec![file], &parameters, dependencies);
        statements.push((control.name().to_string(), statement));
    }
    let tools = ToolRoot::open(context, "image")?;
    let layers = layer::layers(context, &tools, name)?;
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
        if let Some(origin) = control.get(ORIGIN_FIELD).and_then(|it| it.parse::<Digest>().ok()) {
            // The lock's package, unless a development build took a newer one.
            let locked = self.locked(name).filter(|it| it.is(&origin));
            let unlocked = || Resource::new(format!("{name} of {}", input.suite), origin);
            dependencies.push(locked.unwrap_or_else(unlocked));
        }
        if control.get(BUILD_FLAGS).is_some() {
            dependencies.extend(self.sources(name));
        }
        dependencies.push(Resource::new(format!("os/packages/{}", recipe.name), recipe.digest));
        Ok((Build::Curate, dependencies))
    }

    /// The files that the package `name` was built from.
    fn sources(&self, name: &PackageName) -> Vec<Resource> {
        let sources = self.supply.lock.sources.values();
        let files = sources.filter(|it| it.packages.contains(name)).flat_map(|it| &it.files);
        files.map(|file| Resource::new(file.name(), file.sha256)).collect()
    }

    /// The package `name` as the lock has it.
    fn locked(&self, name: &PackageName) -> Option<Resource> {
        let locked = self.supply.lock.packages.get(name)?;
        let file = locked.filename.rsplit('/').next().unwrap_or_default();
        Some(Resource::new(file, locked.sha256))
    }
}
