//! Groups: who is in them. Old ones keep a B-tree of symbol tables, new ones a link message for each member.

use crate::error::Result;

use super::format::{Message, UNDEFINED, Walk, message};

/// Longest name of a member, in bytes.
const MAX_NAME: usize = 255;

/// Deepest B-tree; 16 members and more at each level.
const MAX_LEVEL: u8 = 12;

/// Names and header addresses of the members; `None` if the object is no group. A link that leads out of the group other than
/// by address (soft, external, user-defined) is an error.
pub(super) fn members(walk: &Walk, messages: &[Message]) -> Result<Option<Vec<(String, u64)>>> {
    let has = |kind| messages.iter().any(|m| m.kind == kind);
    let mut members = Vec::new();
    if has(message::SYMBOL_TABLE) {
        let body = walk.find(messages, message::SYMBOL_TABLE, "symbol table")?;
        let mut fields = walk.fields(body);
        let (tree, heap) = (fields.u64()?, fields.u64()?);
        let names = local_heap(walk, heap)?;
        tree_members(walk, tree, None, &names, &mut members)?;
    } else if has(message::LINK_INFO) || has(message::LINK) {
        if has(message::LINK_INFO) {
            let mut fields = walk.fields(walk.find(messages, message::LINK_INFO, "link info")?);
            fields.skip(1)?;
            if fields.u8()? & 1 != 0 {
                fields.skip(8)?;
            }
            if fields.u64()? != UNDEFINED {
                return Err(
                    walk.unsupported("a group with an index of its links (`libver=\"latest\"`)")
                );
            }
        }
        for m in messages.iter().filter(|m| m.kind == message::LINK) {
            members.push(link(walk, &m.body)?);
        }
    } else {
        return Ok(None);
    }
    Ok(Some(members))
}

/// The names of an old group, one behind the other.
fn local_heap(walk: &Walk, at: u64) -> Result<Vec<u8>> {
    let block = walk.block(at, b"HEAP", 28)?;
    let mut fields = walk.fields(&block);
    fields.skip(4)?;
    let len = fields.u64()?;
    fields.skip(8)?;
    walk.take(fields.u64()?, len)
}

/// Walks a B-tree node; `level` is what the parent says it must have.
fn tree_members(
    walk: &Walk,
    at: u64,
    level: Option<u8>,
    names: &[u8],
    members: &mut Vec<(String, u64)>,
) -> Result<()> {
    let node = TreeNode::read(walk, at, 0, level, 8)?;
    for (_, child) in node.children {
        match node.level {
            0 => symbol_table(walk, child, names, members)?,
            l => tree_members(walk, child, Some(l - 1), names, members)?,
        }
    }
    Ok(())
}

/// A node of a version 1 B-tree.
pub(super) struct TreeNode {
    pub level: u8,
    /// The key in front of each child, and the child's address.
    pub children: Vec<(Vec<u8>, u64)>,
}

impl TreeNode {
    /// `kind` 0 is a group's, 1 a chunked dataset's; `level` is what the parent says; keys have `key` bytes. Levels fall with
    /// every step, so a walk ends.
    pub fn read(walk: &Walk, at: u64, kind: u8, level: Option<u8>, key: usize) -> Result<TreeNode> {
        let start = walk.block(at, b"TREE", 4)?;
        let [found, node_level, low, high] = [start[0], start[1], start[2], start[3]];
        let sound = found == kind
            && node_level <= MAX_LEVEL
            && level.is_none_or(|level| level == node_level);
        if !sound {
            let problem = format!("HDF5: the B-tree node at {at} is not what it should be");
            return Err(walk.source.error(problem));
        }
        let entries = usize::from(u16::from_le_bytes([low, high]));
        let body = walk.take(at.saturating_add(24), (entries * (key + 8)) as u64)?;
        let children = body
            .chunks_exact(key + 8)
            .map(|entry| {
                let (key, address) = entry.split_at(key);
                Ok((key.to_vec(), walk.fields(address).u64()?))
            })
            .collect::<Result<_>>()?;
        Ok(TreeNode {
            level: node_level,
            children,
        })
    }
}

fn symbol_table(
    walk: &Walk,
    at: u64,
    names: &[u8],
    members: &mut Vec<(String, u64)>,
) -> Result<()> {
    let start = walk.block(at, b"SNOD", 4)?;
    let count = u16::from_le_bytes([start[2], start[3]]);
    let body = walk.take(at.saturating_add(8), u64::from(count) * 40)?;
    let mut fields = walk.fields(&body);
    for _ in 0..count {
        let name = usize::try_from(fields.u64()?).unwrap_or(usize::MAX);
        let address = fields.u64()?;
        let cache = fields.u32()?;
        fields.skip(20)?;
        let name = names
            .get(name..)
            .and_then(|text| text.split(|&b| b == 0).next())
            .unwrap_or_default();
        let name = checked_name(walk, name)?;
        if cache == 2 {
            return Err(walk.unsupported(&format!("the soft link `{name}`")));
        }
        members.push((name, address));
    }
    Ok(())
}

/// A link message: its name and the address it leads to.
fn link(walk: &Walk, body: &[u8]) -> Result<(String, u64)> {
    let mut fields = walk.fields(body);
    let version = fields.u8()?;
    if version != 1 {
        return Err(walk.unknown("link", version.into()));
    }
    let flags = fields.u8()?;
    let kind = if flags & 8 != 0 { fields.u8()? } else { 0 };
    if flags & 4 != 0 {
        fields.skip(8)?;
    }
    if flags & 16 != 0 {
        fields.skip(1)?;
    }
    let len = fields.uint(1 << (flags & 3))?;
    let name = fields.bytes(usize::try_from(len).unwrap_or(usize::MAX))?;
    let name = checked_name(walk, name)?;
    match kind {
        0 => Ok((name, fields.u64()?)),
        1 => Err(walk.unsupported(&format!("the soft link `{name}`"))),
        64 => Err(walk.unsupported(&format!("the external link `{name}`"))),
        _ => Err(walk.unsupported(&format!("the user-defined link `{name}`"))),
    }
}

fn checked_name(walk: &Walk, name: &[u8]) -> Result<String> {
    match std::str::from_utf8(name) {
        Ok(text) if (1..=MAX_NAME).contains(&text.len()) && !text.contains(['/', '\0']) => {
            Ok(text.to_string())
        }
        _ => {
            let start = String::from_utf8_lossy(&name[..name.len().min(40)]);
            let problem = format!("HDF5: a member has the name `{start}`, which is no name");
            Err(walk.source.error(problem))
        }
    }
}
