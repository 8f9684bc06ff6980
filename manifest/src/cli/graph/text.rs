//! Pictures in the languages of other tools: Graphviz and Mermaid.

use std::fmt::Write;

use manifest::Edge;

use super::picture::{Kind, Picture};

/// Graphviz: tiers as clusters.
pub(crate) fn dot(picture: &Picture<'_>) -> String {
    let mut text = String::from(
        "digraph tiers {\n  rankdir = TB\n  newrank = true\n  \
         node [shape = box, style = rounded, fontname = \"sans-serif\"]\n",
    );
    for (band, name) in picture.bands.iter().enumerate() {
        let _ = writeln!(
            text,
            "  subgraph \"cluster_{name}\" {{\n    label = \"{name}\""
        );
        for node in picture.nodes.iter().filter(|node| node.band == band) {
            let style = match node.kind {
                Kind::Leaf => " [style = \"rounded,bold\"]",
                Kind::Required => "",
                Kind::Console => " [shape = note]",
            };
            let _ = writeln!(text, "    \"{}\"{style}", node.name);
        }
        text.push_str("  }\n");
    }
    for &(from, to, edge) in &picture.edges {
        if let (Some(from), Some(to)) = (picture.nodes.get(from), picture.nodes.get(to)) {
            let style = if edge == Edge::Console {
                " [style = dashed]"
            } else {
                ""
            };
            let _ = writeln!(text, "  \"{}\" -> \"{}\"{style}", from.name, to.name);
        }
    }
    text.push_str("}\n");
    text
}

/// Mermaid: tiers as subgraphs. Its ids take no `@`, so packages are numbered.
pub(crate) fn mermaid(picture: &Picture<'_>) -> String {
    let mut text = String::from("flowchart TB\n");
    for (band, name) in picture.bands.iter().enumerate() {
        let _ = writeln!(text, "  subgraph band{band}[\"{name}\"]");
        for (number, node) in picture
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, n)| n.band == band)
        {
            let (open, close) = match node.kind {
                Kind::Leaf => ("[", "]"),
                Kind::Required => ("(", ")"),
                Kind::Console => ("([", "])"),
            };
            let _ = writeln!(text, "    p{number}{open}\"{}\"{close}", node.name.base());
        }
        text.push_str("  end\n");
    }
    for &(from, to, edge) in &picture.edges {
        let arrow = if edge == Edge::Console { "-.->" } else { "-->" };
        let _ = writeln!(text, "  p{from} {arrow} p{to}");
    }
    text
}
