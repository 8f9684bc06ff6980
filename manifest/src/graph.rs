//! The graph of what brings what: reachability, cycles and shortest chains over numbered nodes.
//!
//! Nothing here recurses: a chain as long as the manifest must not overflow the stack, so the
//! recursive algorithms of petgraph (`tarjan_scc`, `is_cyclic_directed`, `depth_first_search`)
//! stay out.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::{Dfs, EdgeFiltered, EdgeRef};

/// A node: the position of a package among the sorted names.
pub(crate) type Node = usize;

/// Why one package brings another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edge {
    /// The package does not work without the other.
    Requires,
    /// The other is its console package.
    Console,
}

/// What brings what.
#[derive(Debug)]
pub(crate) struct Graph(DiGraph<(), Edge>);

impl Graph {
    /// Takes edges grouped by source: neighbours that lie together in memory make every search
    /// several times faster.
    pub(crate) fn new(nodes: usize, edges: &[(Node, Node, Edge)]) -> Self {
        let mut graph = DiGraph::with_capacity(nodes, edges.len());
        for _ in 0..nodes {
            graph.add_node(());
        }
        for &(from, to, edge) in edges {
            graph.add_edge(NodeIndex::new(from), NodeIndex::new(to), edge);
        }
        Self(graph)
    }

    /// What `node` brings by edges of the given kind, in ascending order.
    pub(crate) fn brings(&self, node: Node, kind: Edge) -> Vec<Node> {
        let edges = self.0.edges(NodeIndex::new(node));
        let mut targets: Vec<Node> = edges
            .filter(|edge| *edge.weight() == kind)
            .map(|edge| edge.target().index())
            .collect();
        targets.sort_unstable();
        targets
    }

    /// All edges, as source and target.
    pub(crate) fn edges(&self) -> impl Iterator<Item = (Node, Node)> + Clone {
        self.0
            .edge_references()
            .map(|edge| (edge.source().index(), edge.target().index()))
    }

    /// For each node the first group of roots that reaches it. Sets of tiers are cumulative, so
    /// this number per node is all of them at once.
    ///
    /// One search: what an earlier group visited is never visited again.
    pub(crate) fn first_reached(&self, groups: &[Vec<Node>]) -> Vec<Option<usize>> {
        let mut first = vec![None; self.0.node_count()];
        let mut search = Dfs::empty(&self.0);
        for (group, roots) in groups.iter().enumerate() {
            for &root in roots {
                search.move_to(NodeIndex::new(root));
                while let Some(node) = search.next(&self.0) {
                    if let Some(slot) = first.get_mut(node.index()) {
                        *slot = Some(group);
                    }
                }
            }
        }
        first
    }

    /// The graph without its edges to console packages.
    pub(crate) fn without_console(&self) -> Self {
        Self(self.0.filter_map(
            |_, ()| Some(()),
            |_, &edge| (edge == Edge::Requires).then_some(edge),
        ))
    }

    /// One cycle of `requires` edges for each group of packages that require each other, from its
    /// first node on; empty when there is none. A console package may require its engine.
    pub(crate) fn cycles(&self) -> Vec<Vec<Node>> {
        let requires = EdgeFiltered::from_fn(&self.0, |edge| *edge.weight() == Edge::Requires);
        if self.is_free_of_cycles() {
            return Vec::new();
        }
        let groups = kosaraju_scc(&requires);
        let mut group_of = vec![0; self.0.node_count()];
        for (number, group) in groups.iter().enumerate() {
            for node in group {
                if let Some(slot) = group_of.get_mut(node.index()) {
                    *slot = number;
                }
            }
        }
        let cycle_in = |group: &Vec<NodeIndex>| {
            let start = group.iter().map(|node| node.index()).min()?;
            let inside = |edge, node: Node| {
                edge == Edge::Requires && group_of.get(node) == group_of.get(start)
            };
            self.cycle_through(start, inside)
        };
        let mut cycles: Vec<Vec<Node>> = groups.iter().filter_map(cycle_in).collect();
        cycles.sort_unstable();
        cycles
    }

    /// The shortest ways from the roots to everything they reach.
    pub(crate) fn ways(&self, roots: &[Node]) -> Ways {
        let mut reached = vec![Reached::Not; self.0.node_count()];
        for &root in roots {
            if let Some(slot) = reached.get_mut(root) {
                *slot = Reached::Root;
            }
        }
        let mut queue: VecDeque<Node> = roots.iter().copied().collect();
        while let Some(node) = queue.pop_front() {
            for (edge, next) in self.outgoing(node) {
                if let Some(slot @ Reached::Not) = reached.get_mut(next) {
                    *slot = Reached::By(node, edge);
                    queue.push_back(next);
                }
            }
        }
        Ways(reached)
    }

    /// Takes away, again and again, what nothing left requires; a cycle is what stays. On the
    /// usual path, without cycles, this is several times faster than a search for components.
    fn is_free_of_cycles(&self) -> bool {
        let requires = |node| {
            let edges = self
                .0
                .edges(node)
                .filter(|edge| *edge.weight() == Edge::Requires);
            edges.map(|edge| edge.target())
        };
        let mut required_by = vec![0_usize; self.0.node_count()];
        for target in self.0.node_indices().flat_map(requires) {
            if let Some(count) = required_by.get_mut(target.index()) {
                *count += 1;
            }
        }
        let free = required_by
            .iter()
            .enumerate()
            .filter(|(_, count)| **count == 0);
        let mut open: Vec<NodeIndex> = free.map(|(node, _)| NodeIndex::new(node)).collect();
        let mut left = self.0.node_count();
        while let Some(node) = open.pop() {
            left -= 1;
            for target in requires(node) {
                if let Some(count) = required_by.get_mut(target.index()) {
                    *count -= 1;
                    if *count == 0 {
                        open.push(target);
                    }
                }
            }
        }
        left == 0
    }

    /// A shortest cycle through `start` that stays inside.
    fn cycle_through(&self, start: Node, inside: impl Fn(Edge, Node) -> bool) -> Option<Vec<Node>> {
        let mut came_from: HashMap<Node, Node> = HashMap::new();
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for (_, next) in self
                .outgoing(node)
                .filter(|&(edge, next)| inside(edge, next))
            {
                if next == start {
                    return Some(way_back(start, node, &came_from));
                }
                if let Entry::Vacant(new) = came_from.entry(next) {
                    new.insert(node);
                    queue.push_back(next);
                }
            }
        }
        None
    }

    /// Edges out of a node, ascending, so that of several shortest chains always the same is told.
    fn outgoing(&self, node: Node) -> impl Iterator<Item = (Edge, Node)> {
        let mut edges: Vec<(Edge, Node)> = self
            .0
            .edges(NodeIndex::new(node))
            .map(|edge| (*edge.weight(), edge.target().index()))
            .collect();
        edges.sort_unstable();
        edges.into_iter()
    }
}

/// From `start` to `end`, by what was seen to lead there.
fn way_back(start: Node, end: Node, came_from: &HashMap<Node, Node>) -> Vec<Node> {
    let mut way = vec![end];
    let mut node = end;
    while let Some(&before) = came_from.get(&node).filter(|_| node != start) {
        way.push(before);
        node = before;
    }
    way.reverse();
    way
}

/// The shortest ways from some roots; of several equally short ones always the same.
#[derive(Debug)]
pub(crate) struct Ways(Vec<Reached>);

#[derive(Debug, Clone, Copy)]
enum Reached {
    Not,
    Root,
    By(Node, Edge),
}

impl Ways {
    /// The way to a node: each node on it with the edge that leaves it, without the target itself;
    /// empty for a root.
    pub(crate) fn to(&self, target: Node) -> Option<Vec<(Node, Edge)>> {
        let mut way = Vec::new();
        let mut node = target;
        loop {
            match *self.0.get(node)? {
                Reached::Not => return None,
                Reached::Root => break,
                Reached::By(before, edge) => {
                    way.push((before, edge));
                    node = before;
                }
            }
        }
        way.reverse();
        Some(way)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The slow, obvious twin of [`Graph::first_reached`]: recursive, one set per group.
    fn closure(edges: &[(Node, Node, Edge)], node: Node, into: &mut BTreeSet<Node>) {
        if into.insert(node) {
            for &(from, to, _) in edges {
                if from == node {
                    closure(edges, to, into);
                }
            }
        }
    }

    type Sample = (usize, Vec<(Node, Node, Edge)>, Vec<Vec<Node>>);

    fn graphs() -> impl Strategy<Value = Sample> {
        (1..24_usize).prop_flat_map(|nodes| {
            let edge = prop_oneof![4 => Just(Edge::Requires), 1 => Just(Edge::Console)];
            let edges = prop::collection::vec((0..nodes, 0..nodes, edge), 0..60);
            let groups = prop::collection::vec(prop::collection::vec(0..nodes, 0..4), 1..4);
            (Just(nodes), edges, groups)
        })
    }

    proptest! {
        #[test]
        fn the_search_and_its_recursive_twin_agree((nodes, edges, groups) in graphs()) {
            let first = Graph::new(nodes, &edges).first_reached(&groups);
            let mut twin = BTreeSet::new();
            for (group, roots) in groups.iter().enumerate() {
                for &root in roots {
                    closure(&edges, root, &mut twin);
                }
                let reached: BTreeSet<Node> =
                    (0..nodes).filter(|&node| first[node].is_some_and(|g| g <= group)).collect();
                prop_assert_eq!(&reached, &twin);
            }
        }

        #[test]
        fn a_reported_cycle_is_a_cycle_and_none_is_missed((nodes, edges, _) in graphs()) {
            let requires: Vec<_> =
                edges.iter().copied().filter(|edge| edge.2 == Edge::Requires).collect();
            let cyclic = (0..nodes).any(|node| {
                let mut reached = BTreeSet::new();
                for &(from, to, _) in &requires {
                    if from == node {
                        closure(&requires, to, &mut reached);
                    }
                }
                reached.contains(&node)
            });
            let cycles = Graph::new(nodes, &edges).cycles();
            prop_assert_eq!(!cycles.is_empty(), cyclic);
            for cycle in cycles {
                for (&from, &to) in cycle.iter().zip(cycle.iter().cycle().skip(1)) {
                    prop_assert!(requires.contains(&(from, to, Edge::Requires)));
                }
            }
        }

        #[test]
        fn a_chain_exists_exactly_for_what_is_reached((nodes, edges, groups) in graphs()) {
            let graph = Graph::new(nodes, &edges);
            let ways = graph.ways(&groups[0]);
            let first = graph.first_reached(&groups[..1]);
            prop_assert_eq!(first.len(), nodes);
            for (node, reached) in first.iter().enumerate() {
                let chain = ways.to(node);
                prop_assert_eq!(chain.is_some(), reached.is_some());
                let targets = chain.iter().flatten().map(|step| step.0).skip(1).chain([node]);
                for (&(from, edge), to) in chain.iter().flatten().zip(targets) {
                    prop_assert!(edges.contains(&(from, to, edge)));
                }
            }
        }
    }

    #[test]
    fn a_long_chain_and_a_long_cycle_do_not_overflow_the_stack() {
        let nodes = 100_000;
        let mut edges: Vec<_> = (1..nodes).map(|to| (to - 1, to, Edge::Requires)).collect();
        let graph = Graph::new(nodes, &edges);
        assert!(graph.cycles().is_empty());
        assert_eq!(graph.first_reached(&[vec![0]]), vec![Some(0); nodes]);
        assert_eq!(graph.ways(&[0]).to(nodes - 1).unwrap().len(), nodes - 1);
        edges.push((nodes - 1, 0, Edge::Requires));
        assert_eq!(
            Graph::new(nodes, &edges).cycles(),
            [(0..nodes).collect::<Vec<_>>()]
        );
    }
}
