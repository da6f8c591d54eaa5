// F(2, 3): two outputs of a filter of three taps by four multiplications, interpolation at 0, 1, −1 and ∞ (Lavin and
// Gray, section 4.1).
//
//        1  0 −1  0         1    0   0
//   Bᵀ = 0  1  1  0     G = ½    ½   ½      Aᵀ = 1  1  1  0
//        0 −1  1  0         ½   −½   ½           0  1 −1 −1
//        0  1  0 −1         0    0   1

const KERNEL: u32 = 3u;
const KERNEL_AREA: u32 = 9u;
const TILE: u32 = 4u;
const TILE_AREA: u32 = 16u;
const TILE_ROWS: u32 = 12u;

fn input_line(d: array<vec4f, TILE>) -> array<vec4f, TILE> {
    return array(d[0] - d[2], d[1] + d[2], d[2] - d[1], d[1] - d[3]);
}

fn input_line_adjoint(m: array<vec4f, TILE>) -> array<vec4f, TILE> {
    return array(m[0], m[1] - m[2] + m[3], m[1] + m[2] - m[0], -m[3]);
}

fn output_line_adjoint(y0: vec4f, y1: vec4f) -> array<vec4f, TILE> {
    return array(y0, y0 + y1, y0 - y1, -y1);
}

fn filter_line(g: array<vec4f, KERNEL>) -> array<vec4f, TILE> {
    let even = 0.5 * (g[0] + g[2]);
    let odd = 0.5 * g[1];
    return array(g[0], even + odd, even - odd, g[2]);
}

fn filter_line_adjoint(m: array<f32, TILE>) -> array<f32, KERNEL> {
    let even = 0.5 * (m[1] + m[2]);
    return array(m[0] + even, 0.5 * (m[1] - m[2]), even + m[3]);
}
