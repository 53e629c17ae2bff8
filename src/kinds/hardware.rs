//! The names that vendors and clouds give to accelerators and to pools of nodes, as far as they are known, and those of
//! the configuration. Pure.

use std::sync::Arc;

/// Labels of nodes that name a node pool, by preference: of KAI, Run:ai and its older releases, Karpenter, GKE, EKS,
/// AKS, and other clouds.
pub const NODE_POOL_LABELS: &[&str] = &[
    "kai.scheduler/node-pool",
    "runai/node-pool",
    "run.ai/node-pool",
    "karpenter.sh/nodepool",
    "cloud.google.com/gke-nodepool",
    "eks.amazonaws.com/nodegroup",
    "alpha.eksctl.io/nodegroup-name",
    "kubernetes.azure.com/agentpool",
    "agentpool",
    "doks.digitalocean.com/node-pool",
    "ibm-cloud.kubernetes.io/worker-pool-name",
];

/// Vendors of which every resource is an accelerator, unless it is a part of one.
const VENDORS: &[&str] = &[
    "birentech.com",
    "cambricon.com",
    "enflame.com",
    "furiosa.ai",
    "gpu.intel.com",
    "habana.ai",
    "hygon.com",
    "iluvatar.ai",
    "kunlunxin.com",
    "metax-tech.com",
    "mthreads.com",
    "rebellions.ai",
    "tenstorrent.com",
    "vastaitech.com",
];

/// Words for an accelerator in the name of a resource of any vendor; `vgpu`, `sgpu` and `pgpu` are GPUs too.
const DEVICES: &[&str] = &[
    "gpu", "npu", "tpu", "xpu", "gcu", "mlu", "dcu", "ipu", "hpu", "gaudi", "ascend", "neuron",
    "qaic",
];

/// Endings of such a word that count devices; any number may stand there too.
const COUNTS: &[&str] = &[
    "", "s", "num", "number", "count", "core", "cores", "device", "devices",
];

/// Parts of a name that make the resource a part of a device: its memory, its cores, its share.
const PARTS: &[&str] = &[
    "mem",
    "core",
    "percent",
    "milli",
    "monitoring",
    "tflops",
    "bandwidth",
    "ratio",
    "qos",
];

/// The known accelerators and labels of node pools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Names of resources that are accelerators beside those that are known; a trailing `*` stands for any ending.
    pub accelerators: Arc<[String]>,
    /// Labels of nodes that name a node pool, by preference.
    pub node_pool_labels: Arc<[String]>,
}

impl Default for Hardware {
    fn default() -> Self {
        Self {
            accelerators: Arc::default(),
            node_pool_labels: NODE_POOL_LABELS.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Hardware {
    /// Whether a resource of this name is an accelerator, or a slice of one.
    pub fn is_accelerator(&self, name: &str) -> bool {
        let is_named = |known: &String| match known.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == known,
        };
        self.accelerators.iter().any(is_named) || is_known(name)
    }

    /// The unit that a resource name of a view or a status counts, when it is of accelerators: those of whole devices. Slices of
    /// them are extended resources (contract).
    pub fn gpu_resource(&self, name: &str) -> Option<GpuResource> {
        match name {
            GPU_MEMORY => Some(GpuResource::Memory),
            _ if is_slice(name) => None,
            _ => self.is_accelerator(name).then_some(GpuResource::Devices),
        }
    }
}

/// The resource as which GPU memory is counted that an annotation asks for.
pub const GPU_MEMORY: &str = "gpu-memory";

/// What a resource name counts, when it is of accelerators.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuResource {
    /// Whole devices, or parts of them.
    Devices,
    /// Their memory.
    Memory,
}

fn is_slice(name: &str) -> bool {
    name.starts_with("nvidia.com/mig-")
}

fn is_known(name: &str) -> bool {
    let Some((vendor, device)) = name.split_once('/') else {
        return false;
    };
    if is_slice(name) {
        return true;
    }
    let device = device.to_ascii_lowercase();
    let is_core_of_its_own = device.starts_with("neuron");
    let is_part = PARTS.iter().any(|part| device.contains(part));
    if is_part && !is_core_of_its_own {
        return false;
    }
    VENDORS.contains(&vendor)
        || device
            .split(|c: char| !c.is_ascii_alphanumeric())
            .any(is_device)
}

/// Whether a word is one for an accelerator: `gpu`, `vgpu`, `dcunum`, `ascend910b4`.
fn is_device(word: &str) -> bool {
    let without_prefix = word.strip_prefix(['v', 's', 'p']);
    [Some(word), without_prefix]
        .into_iter()
        .flatten()
        .any(|word| {
            DEVICES.iter().any(|device| {
                word.strip_prefix(device).is_some_and(|rest| {
                    COUNTS.contains(&rest) || rest.starts_with(|c: char| c.is_ascii_digit())
                })
            })
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_of_every_vendor_are_known() {
        use GpuResource::{Devices, Memory};
        for (names, expected) in [
            (
                "nvidia.com/gpu nvidia.com/gpu.shared nvidia.com/pgpu nvidia.com/vgpu amd.com/gpu intel.com/gpu \
                 gpu.intel.com/i915 gpu.intel.com/xe habana.ai/gaudi rebellions.ai/ATOM google.com/tpu \
                 aws.amazon.com/neuroncore aws.amazon.com/neurondevice aws.amazon.com/neuron huawei.com/Ascend910 \
                 huawei.com/Ascend910B4 huawei.com/npu cambricon.com/vmlu cambricon.com/mlu hygon.com/dcunum \
                 metax-tech.com/gpu metax-tech.com/sgpu mthreads.com/vgpu enflame.com/gcu kunlunxin.com/vxpu \
                 iluvatar.ai/BI-V150-vgpu birentech.com/gpu vastaitech.com/va volcano.sh/vgpu-number \
                 volcano.sh/gpu-number aliyun.com/gpu-count k8s.amazonaws.com/vgpu qualcomm.com/qaic furiosa.ai/warboy \
                 tenstorrent.com/n150 example.com/npu0",
                Some(Devices),
            ),
            ("gpu-memory", Some(Memory)),
            (
                "huawei.com/Ascend910B4-memory nvidia.com/gpumem nvidia.com/gpumem-percentage nvidia.com/gpucores \
                 nvidia.com/gpu.memory volcano.sh/vgpu-memory volcano.sh/vgpu-cores hygon.com/dcumem hygon.com/dcucores \
                 metax-tech.com/vcore metax-tech.com/vmemory iluvatar.ai/BI-V150-vgpu.vMem iluvatar.ai/BI-V150-vgpu.vCore \
                 mthreads.com/sgpu-core mthreads.com/sgpu-memory kunlunxin.com/vxpu-memory enflame.com/vgcu-percentage \
                 gpu.intel.com/i915_monitoring gpu.intel.com/xe_monitoring gpu.intel.com/millicores \
                 gpu.intel.com/memory.max aliyun.com/gpu-mem cambricon.com/mlu.smlu.vcore nvidia.com/mig-1g.5gb \
                 rdma/hca rdma/ib nvidia.com/hostdev cpu memory example.com/input example.com/output ephemeral-storage \
                 hugepages-2Mi vpc.amazonaws.com/efa intel.com/sgx gpu",
                None,
            ),
        ] {
            for name in names.split_whitespace() {
                assert_eq!(Hardware::default().gpu_resource(name), expected, "{name}");
            }
        }
        assert!(Hardware::default().is_accelerator("nvidia.com/mig-1g.5gb"));
    }

    #[test]
    fn the_configuration_adds_names() {
        let hardware = Hardware {
            accelerators: Arc::new(["example.com/chip*".to_owned(), "example.com/die".to_owned()]),
            ..Hardware::default()
        };
        for (name, expected) in [
            ("example.com/chip7", true),
            ("example.com/die", true),
            ("example.com/die2", false),
            ("nvidia.com/gpu", true),
        ] {
            assert_eq!(hardware.is_accelerator(name), expected, "{name}");
        }
    }
}
