//! Stand-ins for the types of the crate `k8s-openapi` that the product's decision about the Lease names.
//!
//! They have the same fields and decide nothing. With them the file of that decision compiles here as it is, and the
//! record of a Lease can be hashed, which the real one cannot.

pub(crate) mod jiff {
    /// A wall time, in seconds.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub(crate) struct Timestamp(pub(crate) i64);
}

pub(crate) mod apimachinery {
    pub(crate) mod pkg {
        pub(crate) mod apis {
            pub(crate) mod meta {
                pub(crate) mod v1 {
                    use crate::election::k8s::jiff::Timestamp;

                    /// A wall time in an object.
                    #[derive(Clone, Debug, PartialEq, Eq, Hash)]
                    pub(crate) struct MicroTime(pub(crate) Timestamp);
                }
            }
        }
    }
}

pub(crate) mod api {
    pub(crate) mod coordination {
        pub(crate) mod v1 {
            use crate::election::k8s::apimachinery::pkg::apis::meta::v1::MicroTime;

            /// The record of a Lease.
            #[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
            pub(crate) struct LeaseSpec {
                pub(crate) acquire_time: Option<MicroTime>,
                pub(crate) holder_identity: Option<String>,
                pub(crate) lease_duration_seconds: Option<i32>,
                pub(crate) lease_transitions: Option<i32>,
                pub(crate) preferred_holder: Option<String>,
                pub(crate) renew_time: Option<MicroTime>,
                pub(crate) strategy: Option<String>,
            }
        }
    }
}
