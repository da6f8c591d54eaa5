// Winograd's minimal filtering in two dimensions, for the 2×2 outputs of one pooling window (Lavin and Gray, "Fast
// Algorithms for Convolutional Neural Networks", CVPR 2016, section 4.1). With TILE = KERNEL + 1,
//
//   y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A,   d: TILE × TILE inputs, g: KERNEL × KERNEL filter, y: 2 × 2 outputs
//
// takes TILE² multiplications where the sum over taps takes 4·KERNEL². It is linear in d and in g, so its gradients are
//
//   ∂L/∂d = B [(G g Gᵀ) ⊙ (A ∂L/∂y Aᵀ)] Bᵀ,   ∂L/∂g = Gᵀ [(Bᵀ d B) ⊙ (A ∂L/∂y Aᵀ)] G.
//
// The matrices are in winograd3.wgsl, as functions of one row or column.

// Bᵀ d B
fn transform_input(d: array<vec4f, TILE_AREA>) -> array<vec4f, TILE_AREA> {
    return input_columns(input_columns(d));
}

// (Bᵀ d)ᵀ: the columns of d become rows, so that doing it twice takes the columns, then the rows.
fn input_columns(d: array<vec4f, TILE_AREA>) -> array<vec4f, TILE_AREA> {
    var out: array<vec4f, TILE_AREA>;
    for (var j = 0u; j < TILE; j++) { // unroll
        var column: array<vec4f, TILE>;
        for (var i = 0u; i < TILE; i++) { // unroll
            column[i] = d[i * TILE + j];
        }
        let transformed = input_line(column);
        for (var i = 0u; i < TILE; i++) { // unroll
            out[j * TILE + i] = transformed[i];
        }
    }
    return out;
}

// B m Bᵀ, the adjoint of transform_input.
fn transform_input_adjoint(m: array<vec4f, TILE_AREA>) -> array<vec4f, TILE_AREA> {
    return input_columns_adjoint(input_columns_adjoint(m));
}

// (B m)ᵀ
fn input_columns_adjoint(m: array<vec4f, TILE_AREA>) -> array<vec4f, TILE_AREA> {
    var out: array<vec4f, TILE_AREA>;
    for (var j = 0u; j < TILE; j++) { // unroll
        var column: array<vec4f, TILE>;
        for (var i = 0u; i < TILE; i++) { // unroll
            column[i] = m[i * TILE + j];
        }
        let transformed = input_line_adjoint(column);
        for (var i = 0u; i < TILE; i++) { // unroll
            out[j * TILE + i] = transformed[i];
        }
    }
    return out;
}

// A y Aᵀ of a 2×2 gradient y that is `g` at the arg-max `codes` and 0 elsewhere (also where a code is 4: ReLU shut).
fn transform_pooled_gradient(g: vec4f, codes: vec4u) -> array<vec4f, TILE_AREA> {
    var y: array<vec4f, 4>;
    for (var at = 0u; at < 4u; at++) { // unroll
        y[at] = select(vec4f(0.0), g, codes == vec4u(at));
    }
    let left = output_line_adjoint(y[0], y[2]);
    let right = output_line_adjoint(y[1], y[3]);
    var out: array<vec4f, TILE_AREA>;
    for (var i = 0u; i < TILE; i++) { // unroll
        let row = output_line_adjoint(left[i], right[i]);
        for (var j = 0u; j < TILE; j++) { // unroll
            out[i * TILE + j] = row[j];
        }
    }
    return out;
}

// G g Gᵀ
fn transform_filter(g: array<vec4f, KERNEL_AREA>) -> array<vec4f, TILE_AREA> {
    var half: array<vec4f, TILE_ROWS>; // TILE × KERNEL
    for (var j = 0u; j < KERNEL; j++) { // unroll
        var column: array<vec4f, KERNEL>;
        for (var i = 0u; i < KERNEL; i++) { // unroll
            column[i] = g[i * KERNEL + j];
        }
        let transformed = filter_line(column);
        for (var i = 0u; i < TILE; i++) { // unroll
            half[i * KERNEL + j] = transformed[i];
        }
    }
    var out: array<vec4f, TILE_AREA>;
    for (var i = 0u; i < TILE; i++) { // unroll
        var row: array<vec4f, KERNEL>;
        for (var j = 0u; j < KERNEL; j++) { // unroll
            row[j] = half[i * KERNEL + j];
        }
        let transformed = filter_line(row);
        for (var j = 0u; j < TILE; j++) { // unroll
            out[i * TILE + j] = transformed[j];
        }
    }
    return out;
}

// Gᵀ m G, the adjoint of transform_filter.
fn transform_filter_adjoint(m: array<f32, TILE_AREA>) -> array<f32, KERNEL_AREA> {
    var half: array<f32, TILE_ROWS>; // KERNEL × TILE
    for (var j = 0u; j < TILE; j++) { // unroll
        var column: array<f32, TILE>;
        for (var i = 0u; i < TILE; i++) { // unroll
            column[i] = m[i * TILE + j];
        }
        let transformed = filter_line_adjoint(column);
        for (var i = 0u; i < KERNEL; i++) { // unroll
            half[i * TILE + j] = transformed[i];
        }
    }
    var out: array<f32, KERNEL_AREA>;
    for (var i = 0u; i < KERNEL; i++) { // unroll
        var row: array<f32, TILE>;
        for (var j = 0u; j < TILE; j++) { // unroll
            row[j] = half[i * TILE + j];
        }
        let transformed = filter_line_adjoint(row);
        for (var j = 0u; j < KERNEL; j++) { // unroll
            out[i * KERNEL + j] = transformed[j];
        }
    }
    return out;
}
