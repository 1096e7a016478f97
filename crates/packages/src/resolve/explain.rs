//! Why there is no solution, in names of packages and relations that a person can act on.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use base::Explain;
use formats::relation::Relations;
use resolvo::Requirement;
use resolvo::conflict::{ConflictCause, ConflictEdge, ConflictGraph, ConflictNode};

use super::provider::Provider;
use super::universe::{Candidate, is_here};

/// No set of packages meets a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unsolvable {
    /// What was asked for.
    pub request: Vec<String>,
    /// What is in the way: at least one of these must change.
    pub obstacles: Vec<Obstacle>,
}

/// One thing that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A relation that no package meets.
    Missing {
        /// From what was asked for to the package that has the relation; empty if it is the
        /// request itself.
        path: Vec<String>,
        /// The relation.
        relation: String,
        /// What there is instead.
        instead: String,
        /// The packages that meet the relation and that the request does not allow.
        forbidden: Vec<String>,
    },
    /// Two packages that cannot be together.
    Conflict {
        /// From what was asked for to the package that refuses the other.
        path: Vec<String>,
        /// `Conflicts` or `Breaks`.
        field: &'static str,
        /// Its relation.
        relation: String,
        /// From what was asked for to the package that is refused.
        other: Vec<String>,
    },
    /// Two packages that need different versions of a third one.
    Versions {
        /// What needs the one version.
        one: Need,
        /// What needs the other.
        other: Need,
    },
}

/// That a package is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// From what was asked for to the package that has the relation; empty if it is the request
    /// itself.
    pub path: Vec<String>,
    /// The relation.
    pub relation: String,
}

/// More than this many obstacles help nobody.
const SHOWN: usize = 8;

impl std::error::Error for Unsolvable {}

impl fmt::Display for Unsolvable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no set of packages meets the request for {}", self.request.join(", "))?;
        self.obstacles.iter().take(SHOWN).try_for_each(|obstacle| write!(f, "\n  {obstacle}"))?;
        match self.obstacles.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n  and {more} more"),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path, relation, instead, .. } if path.is_empty() => {
                write!(f, "`{relation}` is asked for, but {instead}")
            }
            Self::Missing { path, relation, instead, .. } => {
                write!(f, "{} needs `{relation}`, but {instead}", path.join(" → "))
            }
            Self::Conflict { path, field, relation, other } => {
                let (path, other) = (path.join(" → "), other.join(" → "));
                write!(f, "{path} has `{field}: {relation}`, which refuses {other}")
            }
            Self::Versions { one, other } => {
                write!(f, "{one}, {other}, and only one version of a package can be there")
            }
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_slice() {
            [] => write!(f, "`{}` is asked for", self.relation),
            path => write!(f, "{} needs `{}`", path.join(" → "), self.relation),
        }
    }
}

impl Explain for Unsolvable {
    fn hint(&self) -> Option<String> {
        match self.obstacles.first()? {
            Obstacle::Missing { path, forbidden, .. } if !forbidden.is_empty() => {
                let shown = &forbidden[..forbidden.len().min(SHOWN)];
                let allow = format!("allow {}", shown.join(" or "));
                Some(match path.last() {
                    Some(package) => format!("{allow}, or leave this dependency of {package} out"),
                    None => allow,
                })
            }
            Obstacle::Missing { path, relation, .. } if path.is_empty() => {
                Some(format!("check the spelling and the suite of `{relation}`"))
            }
            Obstacle::Missing { path, relation, .. } => {
                let package = path.last()?;
                let text = format!("add a package that meets `{relation}`");
                Some(format!("{text}, or leave this dependency of {package} out"))
            }
            Obstacle::Conflict { path, other, .. } => {
                let (one, other) = (path.first()?, other.first()?);
                Some(format!("ask for only one of {one} and {other}"))
            }
            Obstacle::Versions { one, other } => {
                let (one, other) = (one.path.first()?, other.path.first()?);
                Some(format!("ask for only one of {one} and {other}"))
            }
        }
    }
}

/// Reads the graph that resolvo makes of a conflict.
pub(super) fn explain(
    provider: &Provider<'_, '_>,
    graph: &ConflictGraph,
    request: &[String],
) -> Unsolvable {
    let paths = paths(provider, graph);
    let path = |node: usize| paths.get(&node).cloned().unwrap_or_default();
    let mut obstacles = Vec::new();
    for (from, to, edge) in edges(graph) {
        let obstacle = match edge {
            ConflictEdge::Requires(requirement) if is_unresolved(graph, to) => Obstacle::Missing {
                path: path(from),
                relation: provider.relation(requirement),
                instead: instead(provider, requirement),
                forbidden: forbidden(provider, requirement),
            },
            ConflictEdge::Conflict(ConflictCause::Constrains(set)) => {
                let (field, relation) = provider.conflict(set);
                Obstacle::Conflict { path: path(from), field, relation, other: path(to) }
            }
            ConflictEdge::Conflict(ConflictCause::ForbidMultipleInstances) => {
                let (one, other) = (needs(graph, (from, to)), needs(graph, (to, from)));
                let need = |found: Vec<(usize, Requirement)>| {
                    let found = found.into_iter().map(|(from, requirement)| Need {
                        path: path(from),
                        relation: provider.relation(requirement),
                    });
                    found.min_by_key(|need| (need.path.len(), need.to_string()))
                };
                match (need(one), need(other)) {
                    (Some(one), Some(other)) => Obstacle::Versions { one, other },
                    _ => continue,
                }
            }
            _ => continue,
        };
        if !obstacles.contains(&obstacle) {
            obstacles.push(obstacle);
        }
    }
    obstacles.sort_by_cached_key(|obstacle| (length(obstacle), obstacle.to_string()));
    Unsolvable { request: request.to_vec(), obstacles }
}

/// How long the paths of an obstacle are: the shortest explanation goes first.
fn length(obstacle: &Obstacle) -> usize {
    match obstacle {
        Obstacle::Missing { path, .. } => path.len(),
        Obstacle::Conflict { path, other, .. } => path.len() + other.len(),
        Obstacle::Versions { one, other } => one.path.len() + other.path.len(),
    }
}

type Edge = (usize, usize, ConflictEdge);

fn edges(graph: &ConflictGraph) -> impl Iterator<Item = Edge> {
    let graph = &graph.graph;
    graph.edge_indices().filter_map(|at| {
        let (from, to) = graph.edge_endpoints(at)?;
        Some((from.index(), to.index(), *graph.edge_weight(at)?))
    })
}

/// Who needs the package `node` by which requirement that the package `but` does not meet as well.
fn needs(graph: &ConflictGraph, (node, but): (usize, usize)) -> Vec<(usize, Requirement)> {
    let into = |target: usize| {
        edges(graph).filter_map(move |(from, to, edge)| match edge {
            ConflictEdge::Requires(requirement) if to == target => Some((from, requirement)),
            _ => None,
        })
    };
    let either: Vec<_> = into(but).collect();
    into(node).filter(|need| !either.contains(need)).collect()
}

fn is_unresolved(graph: &ConflictGraph, node: usize) -> bool {
    graph.unresolved_node.is_some_and(|unresolved| unresolved.index() == node)
}

/// The names on the shortest way from the request to each package in the graph.
fn paths(provider: &Provider<'_, '_>, graph: &ConflictGraph) -> HashMap<usize, Vec<String>> {
    let name = |node: usize| {
        let node = graph.graph.node_indices().find(|index| index.index() == node)?;
        match graph.graph.node_weight(node)? {
            ConflictNode::Solvable(id) => Some(provider.label(provider.candidate(*id)?)),
            _ => None,
        }
    };
    let mut next: HashMap<usize, Vec<usize>> = HashMap::new();
    for (from, to, edge) in edges(graph) {
        if matches!(edge, ConflictEdge::Requires(_)) {
            next.entry(from).or_default().push(to);
        }
    }
    let root = graph.root_node.index();
    let mut paths = HashMap::from([(root, Vec::new())]);
    let mut queue = VecDeque::from([root]);
    while let Some(from) = queue.pop_front() {
        let path = paths.get(&from).cloned().unwrap_or_default();
        for &to in next.get(&from).into_iter().flatten() {
            if let Some(name) = name(to)
                && !paths.contains_key(&to)
            {
                paths.insert(to, [path.as_slice(), &[name]].concat());
                queue.push_back(to);
            }
        }
    }
    paths
}

/// The packages that meet a requirement and that may not be chosen.
fn refused(provider: &Provider<'_, '_>, requirement: Requirement) -> Vec<Candidate> {
    let text = provider.relation(requirement);
    let relations = Relations::parse(&text).unwrap_or_default();
    let targets = relations.groups.iter().flat_map(|group| provider.universe.targets(group));
    targets.filter(|&candidate| provider.refusal(candidate).is_some()).collect()
}

/// The packages that meet a requirement that is not met: the request does not allow them.
fn forbidden(provider: &Provider<'_, '_>, requirement: Requirement) -> Vec<String> {
    let refused = refused(provider, requirement).into_iter();
    let named = refused.filter(|&candidate| !provider.is_named(candidate));
    named.map(|candidate| provider.universe.stanza(candidate).name().to_owned()).collect()
}

/// What there is where a relation is not met: other versions, packages that may not be chosen.
fn instead(provider: &Provider<'_, '_>, requirement: Requirement) -> String {
    let text = provider.relation(requirement);
    let relations = Relations::parse(&text).unwrap_or_default();
    let refused = refused(provider, requirement).into_iter();
    let mut found: Vec<_> = refused.filter_map(|candidate| provider.refusal(candidate)).collect();
    for alternative in relations.groups.iter().flat_map(|group| &group.alternatives) {
        if !is_here(alternative.qualifier) {
            let architecture = alternative.qualifier.unwrap_or_default();
            found.push(format!("nothing here is of the architecture {architecture}"));
        } else if provider.universe.matching(alternative).is_empty() {
            let others = provider.universe.everywhere(alternative.name);
            found.extend(others.map(|stanza| {
                let (name, version) = (stanza.name(), stanza.version_text());
                if provider.universe.is_of_host(stanza) {
                    format!("{name} {version} is installed")
                } else {
                    format!("{name} is {version} in {}", stanza.suite())
                }
            }));
            let providers = provider.universe.providers(alternative.name);
            found.extend(providers.into_iter().map(|(by, version)| match version {
                Some(version) => format!("{} provides {version} of it", provider.label(by)),
                None => format!("{} provides it without a version", provider.label(by)),
            }));
        }
    }
    found.sort();
    found.dedup();
    if found.len() > SHOWN {
        let more = found.len() - SHOWN;
        found.truncate(SHOWN);
        found.push(format!("{more} more"));
    }
    if found.is_empty() { "no package has or provides this name".into() } else { found.join(", ") }
}
