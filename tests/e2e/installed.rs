//! Revisor as a stranger installs it: the manifests are applied to a real API server, and the programs run as the pods
//! of the Deployment say.

mod certificate;
mod dashboard;
mod guards;
mod image;
mod kubectl;
mod manifests;
mod owners;
mod pod;
mod refused;
mod rights;
mod stage;
mod status;
