// A flat index over a grid of workgroups that may be two-dimensional because one dimension is limited.
fn linear_index(group: vec3u, groups: vec3u, lane: u32, lanes: u32) -> u32 {
    return (group.y * groups.x + group.x) * lanes + lane;
}

