//! Every pipeline in use translates to what Vulkan, Metal and DirectX 12 take: the nearest thing to portability that a
//! machine without those GPUs can show.

use deepid2::gpu::Target;
use deepid2::net::{ExtractorGraph, LocalSharing, NetSpec, TrainingGraph, TrainingOptions};
use deepid2::ops::Signal;
use deepid2::ops::ceiling::{Copy, MultiplyAdd};
use deepid2::tape::{Source, Tape, TensorType, sources};
use naga::back::{hlsl, msl, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{AddressSpace, GlobalVariable, Handle, Module, ShaderStage};
use rayon::prelude::*;
use std::collections::HashSet;

/// What the smallest of the adapters that count offers: WebGPU's default limits.
const DEFAULT: Target = Target {
    uniform_bytes: 65_536,
    storage_bytes: 1 << 27,
    workgroups_per_dimension: 65_535,
    software: false,
    subgroup: 1,
    texels: false,
};
const SIGNALS: [Signal; 6] = [Signal::None, Signal::L2, Signal::L2Plus, Signal::L2Minus, Signal::L1, Signal::Cosine];
/// Metal binds one buffer more than a kernel declares, of 8 that every adapter has.
const MAX_STORAGE_BUFFERS: usize = 7;
/// Also the largest number of invocations in a workgroup and bytes of workgroup memory that every adapter has.
const MAX_INVOCATIONS: u32 = 256;
const MAX_WORKGROUP_BYTES: u32 = 16_384;

fn targets() -> [Target; 4] {
    let no_uniforms = Target { uniform_bytes: 0, ..DEFAULT };
    let software = Target { software: true, ..DEFAULT };
    let sharing_lanes = Target { subgroup: 8, ..software };
    [DEFAULT, no_uniforms, software, sharing_lanes]
}

/// Networks with the pictures of a training step and of an extraction.
fn networks() -> [(NetSpec, usize, usize); 4] {
    let paper = NetSpec::paper(8192);
    let grid = NetSpec { conv3: LocalSharing::Grid, ..paper.clone() };
    let gray = NetSpec { height: 31, width: 31, channels: 1, identities: 7, ..paper.clone() };
    let odd = NetSpec { height: 39, width: 31, widths: [5, 6, 7, 9], embedding: 18, identities: 3, ..paper.clone() };
    [(paper, 128, 64), (grid, 128, 64), (gray, 32, 1), (odd, 5, 2)]
}

fn training(spec: &NetSpec, images: usize, signal: Signal) -> Tape {
    let (momentum, weight_decay) = (0.9, 5e-4);
    let options = TrainingOptions { images, margin: 3, signal, momentum, weight_decay, rate_scales: vec![] };
    TrainingGraph::new(spec, &options).unwrap().tape
}

/// Nets at once: alone, and as many as make some uniform arrays too large and leave others.
const NETS: [usize; 2] = [1, 3];

/// The loops that other kernels are measured against.
fn ceilings() -> Tape {
    let mut tape = Tape::new();
    let x = tape.input("x", TensorType::f32(&[1 << 22]));
    let y = tape.apply1(MultiplyAdd { chains: 8, rounds: 1024 }, &[x]).unwrap();
    tape.apply1(Copy { vectors: 4 }, &[y]).unwrap();
    tape
}

/// Texts and entry points of all tapes on all targets, each once.
fn in_use() -> Vec<Source> {
    let mut tapes = vec![ceilings()];
    for (spec, step, extraction) in networks() {
        tapes.push(training(&spec, step, Signal::L2));
        tapes.push(ExtractorGraph::new(&spec, extraction).unwrap().tape);
    }
    let [.., (small, _, _)] = networks();
    tapes.extend(SIGNALS.map(|signal| training(&small, 7, signal)));
    let mut seen = HashSet::new();
    let of_tape = |tape| targets().map(|target| NETS.map(|nets| sources(tape, &target, nets)));
    let all = tapes.iter().flat_map(of_tape).flatten().flatten();
    all.filter(|source| seen.insert((source.wgsl.clone(), source.entry))).collect()
}

fn validate(source: &Source) -> (Module, ModuleInfo) {
    let module = naga::front::wgsl::parse_str(&source.wgsl)
        .unwrap_or_else(|error| panic!("{}: {}", source.label, error.emit_to_string(&source.wgsl)));
    // No capability beyond those that every adapter has, save where lanes share values: those kernels are chosen for
    // adapters that report subgroups of one size.
    let capabilities = match source.wgsl.contains("subgroupBroadcast(") {
        true => Capabilities::SUBGROUP,
        false => Capabilities::empty(),
    };
    let info = Validator::new(ValidationFlags::all(), capabilities)
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}: {}", source.label, error.emit_to_string(&source.wgsl)));
    (module, info)
}

/// Translates to the language of each backend.
fn translate(source: &Source, module: &Module, info: &ModuleInfo) {
    let Source { label, entry, .. } = source;
    let stage = ShaderStage::Compute;

    let pipeline = spv::PipelineOptions { shader_stage: stage, entry_point: (*entry).into() };
    let words =
        spv::write_vec(module, info, &spv::Options { lang_version: (1, 3), ..Default::default() }, Some(&pipeline));
    assert!(words.unwrap_or_else(|error| panic!("{label}: SPIR-V: {error}")).len() > 50, "{label}");

    let options = msl::Options { fake_missing_bindings: true, lang_version: (2, 1), ..Default::default() };
    let pipeline = msl::PipelineOptions { entry_point: Some((stage, (*entry).into())), ..Default::default() };
    let (text, translated) =
        msl::write_string(module, info, &options, &pipeline).unwrap_or_else(|error| panic!("{label}: MSL: {error}"));
    assert!(translated.entry_point_names.iter().all(Result::is_ok), "{label}: {:?}", translated.entry_point_names);
    assert!(text.contains("kernel void"), "{label}: {text}");

    let mut text = String::new();
    let shader_model = hlsl::ShaderModel::V6_0;
    let options = hlsl::Options { fake_missing_bindings: true, shader_model, ..Default::default() };
    let pipeline = hlsl::PipelineOptions { entry_point: Some((stage, (*entry).into())) };
    let translated = hlsl::Writer::new(&mut text, &options, &pipeline)
        .write(module, info, None)
        .unwrap_or_else(|error| panic!("{label}: HLSL: {error}"));
    assert!(translated.entry_point_names.iter().all(Result::is_ok), "{label}");
    assert!(text.contains("numthreads"), "{label}: {text}");
}

/// Compares what the entry point uses with the limits of every adapter.
fn check_limits(source: &Source, module: &Module, info: &ModuleInfo) {
    let Source { label, entry, workgroups, .. } = source;
    let index = module.entry_points.iter().position(|point| point.name == *entry).unwrap();
    let used = info.get_entry_point(index);
    let of = |wanted: fn(AddressSpace) -> bool| {
        let variables = module.global_variables.iter();
        let wanted = |(handle, variable): &(Handle<GlobalVariable>, &GlobalVariable)| {
            wanted(variable.space) && !used[*handle].is_empty()
        };
        variables.filter(wanted).map(|(_, variable)| variable).collect::<Vec<_>>()
    };
    let bytes = |variable: &GlobalVariable| module.types[variable.ty].inner.size(module.to_ctx());

    let storage: Vec<_> = of(|space| matches!(space, AddressSpace::Storage { .. }));
    let names: Vec<_> = storage.iter().filter_map(|variable| variable.name.as_deref()).collect();
    assert!(!names.is_empty() && names.len() <= MAX_STORAGE_BUFFERS, "{label}: {names:?}");
    for variable in of(|space| space == AddressSpace::Uniform) {
        assert!(u64::from(bytes(variable)) <= DEFAULT.uniform_bytes, "{label}: {variable:?}");
    }
    let shared: u32 = of(|space| space == AddressSpace::WorkGroup).into_iter().map(bytes).sum();
    assert!(shared <= MAX_WORKGROUP_BYTES, "{label}: {shared} bytes of workgroup memory");
    let invocations: u32 = module.entry_points[index].workgroup_size.iter().product();
    assert!(invocations <= MAX_INVOCATIONS, "{label}: {invocations} invocations");
    let allowed = 1..=DEFAULT.workgroups_per_dimension;
    assert!(workgroups.iter().all(|count| allowed.contains(count)), "{label}: {workgroups:?}");
}

#[test]
fn every_pipeline_translates_to_spir_v_msl_and_hlsl_within_the_limits_of_every_adapter() {
    let all = in_use();
    let files: HashSet<&str> = all.iter().filter_map(|source| source.label.split(':').nth(1)).collect();
    for kernel in ["conv_pool_forward.wgsl", "conv_forward.wgsl", "max_pool.wgsl", "ingest.wgsl", "sgd.wgsl"] {
        assert!(files.contains(kernel), "no pipeline uses {kernel}: are these the networks' tapes? {files:?}");
    }
    let nets = all.iter().filter(|source| source.wgsl.contains("net_of_dispatch"));
    let (read_as_uniforms, others): (Vec<_>, Vec<_>) = nets.partition(|source| source.wgsl.contains("var<uniform>"));
    assert!(!read_as_uniforms.is_empty() && others.len() > read_as_uniforms.len(), "no kernel of several nets");
    all.par_iter().for_each(|source| {
        let (module, info) = validate(source);
        translate(source, &module, &info);
        check_limits(source, &module, &info);
    });
}
