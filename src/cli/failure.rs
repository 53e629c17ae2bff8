//! Errors as a person meets them: what was asked, why it was refused, and the command that helps.

use crate::json::without_value;
use crate::text::cut;
use std::error::Error as _;
use std::fmt::Write;

/// Words of the API server are cut here.
const MAX_MESSAGE: usize = 2000;

/// A request that may fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure<'a> {
    /// The verb of RBAC.
    pub(super) verb: &'a str,
    /// The resource as RBAC names it: `deployments.apps`.
    pub(super) resource: &'a str,
    /// The namespace; none for all of them.
    pub(super) namespace: Option<&'a str>,
    /// Flags of commands that are printed.
    pub(super) flags: &'a str,
}

impl Failure<'_> {
    /// The error, for people.
    pub(super) fn explain(self, error: kube::Error, server: &str) -> anyhow::Error {
        match error {
            kube::Error::Api(status) => self.refused(&status),
            error => anyhow::anyhow!("{}", connection(&error, server)),
        }
    }

    fn refused(self, status: &kube::core::Status) -> anyhow::Error {
        let message = cut(&status.message, MAX_MESSAGE);
        let Self { verb, resource, .. } = self;
        match status.code {
            401 => anyhow::anyhow!(
                "the API server does not accept these credentials (401): log in again, or see `kubectl auth whoami`"
            ),
            403 if status.message.contains(" cannot ") => anyhow::anyhow!(
                "you may not {verb} {resource} {}: {message}\n{}",
                self.place(),
                self.grant(&status.message)
            ),
            404 if resource == REVISIONS => anyhow::anyhow!(
                "this cluster has no {REVISIONS}: Revisor is not installed (`revisor crds | kubectl apply -f -`)"
            ),
            _ => anyhow::anyhow!("{message}"),
        }
    }

    fn place(self) -> String {
        match self.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in all namespaces".to_owned(),
        }
    }

    /// The command of an administrator that gives the right.
    fn grant(self, message: &str) -> String {
        let Self {
            verb,
            resource,
            namespace,
            flags,
        } = self;
        let verbs = if verb == "list" || verb == "get" {
            "get,list"
        } else {
            verb
        };
        let name = format!("{}-{verb}", resource.split('.').next().unwrap_or(resource));
        let user = message.split('"').nth(1).unwrap_or("USER");
        let subject = subject(user);
        let mut text = "An administrator grants it:".to_owned();
        let (role, binding) = match namespace {
            Some(_) => ("role", "rolebinding"),
            None => ("clusterrole", "clusterrolebinding"),
        };
        let place = namespace.map_or_else(String::new, |namespace| format!(" -n {namespace}"));
        let of = if namespace.is_some() {
            "role"
        } else {
            "clusterrole"
        };
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\n  kubectl create {role} {name} --verb={verbs} --resource={resource}{place}{flags}\
             \n  kubectl create {binding} {name} --{of}={name} {subject}{place}{flags}"
        );
        text
    }
}

/// The custom resource, as RBAC names it.
pub(super) const REVISIONS: &str = "revisions.revisor.dev";

fn subject(user: &str) -> String {
    match user.strip_prefix("system:serviceaccount:") {
        Some(account) => format!("--serviceaccount={account}"),
        None => format!("--user={}", shell_words::quote(user)),
    }
}

/// Why there was no answer, without saying a cause twice.
fn connection(error: &kube::Error, server: &str) -> String {
    let mut causes: Vec<String> = vec![without_value(error)];
    let mut source = error.source();
    while let Some(cause) = source {
        causes.push(without_value(&cause));
        source = cause.source();
    }
    let is_connection = matches!(error, kube::Error::HyperError(_) | kube::Error::Service(_));
    let last = causes.last().map_or("", String::as_str);
    if causes
        .iter()
        .any(|cause| cause.contains("request timed out") || cause.contains("deadline has elapsed"))
    {
        return format!("the API server at {server} does not answer in time (--request-timeout)");
    }
    if is_connection {
        return format!("the API server at {server} cannot be reached: {last}");
    }
    let first = causes.first().map_or("", String::as_str);
    if first.contains(last) {
        first.to_owned()
    } else {
        format!("{first}: {last}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, message: &str, namespace: Option<&str>, resource: &str) -> String {
        let status = kube::core::Status::failure(message, "x").with_code(code);
        let failure = Failure {
            verb: "list",
            resource,
            namespace,
            flags: " --context a",
        };
        failure
            .explain(kube::Error::Api(Box::new(status)), "https://x")
            .to_string()
    }

    #[test]
    fn a_right_that_is_missing_is_named_with_the_command_that_grants_it() {
        let message = r#"revisions.revisor.dev is forbidden: User "ann" cannot list resource "revisions" in API group "revisor.dev" in the namespace "ml""#;
        let text = refused(403, message, Some("ml"), REVISIONS);
        assert!(
            text.starts_with("you may not list revisions.revisor.dev in namespace ml: "),
            "{text}"
        );
        for line in [
            "  kubectl create role revisions-list --verb=get,list --resource=revisions.revisor.dev -n ml --context a",
            "  kubectl create rolebinding revisions-list --role=revisions-list --user=ann -n ml --context a",
        ] {
            assert!(text.lines().any(|it| it == line), "{text}");
        }
        let everywhere = refused(403, message, None, REVISIONS);
        assert!(everywhere.contains("kubectl create clusterrolebinding revisions-list --clusterrole=revisions-list --user=ann"), "{everywhere}");
        let account = message.replace("\"ann\"", "\"system:serviceaccount:ci:bot\"");
        assert!(refused(403, &account, None, REVISIONS).contains("--serviceaccount=ci:bot"));
    }

    #[test]
    fn what_is_not_installed_or_not_logged_in_is_said() {
        let missing = refused(404, "404 page not found", Some("ml"), REVISIONS);
        assert!(missing.contains("Revisor is not installed"), "{missing}");
        assert!(refused(401, "Unauthorized", None, REVISIONS).contains("log in again"));
        assert_eq!(
            refused(404, "x not found", None, "deployments.apps"),
            "x not found"
        );
        assert_eq!(
            refused(403, "a policy said no", None, REVISIONS),
            "a policy said no"
        );
        assert!(refused(500, &"x".repeat(5000), None, REVISIONS).len() < 2100);
    }
}
