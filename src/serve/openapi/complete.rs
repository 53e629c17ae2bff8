//! What the types do not say of the API: errors of every path, examples, and that no field is ever null. Pure.

use serde_json::{Map, Value, json};

/// Errors that every path may give, and when.
const COMMON: &[(&str, &str)] = &[
    (
        "405",
        "The path does not take the method; Allow says which it takes",
    ),
    ("413", "The body is longer than 64 KiB"),
    ("414", "The path is longer than 64 KiB"),
    (
        "429",
        "The caller asks more often than --rate-per-identity allows; Retry-After says when to ask again",
    ),
    ("431", "The head of the request is longer than 64 KiB"),
];
/// When the other errors are given.
const WHEN: &[(&str, &str)] = &[
    ("200", "The answer"),
    (
        "400",
        "A parameter cannot be read; the message names it and its value",
    ),
    (
        "401",
        "There is no token, or one that the API server does not accept",
    ),
    ("403", "The caller may not"),
    ("404", "It is not known"),
    ("500", "A defect of Revisor"),
    (
        "503",
        "It cannot be answered now; Retry-After says when to ask again",
    ),
];
/// The one field that a client must take as null: the contract has it so.
const NULLABLE: (&str, &str) = ("Revision", "deletedAt");

/// Completes the description.
pub(super) fn complete(api: &mut Value) {
    let schemas = api["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        never_null(name, schema);
    }
    let paths = api["paths"].as_object_mut().into_iter().flatten();
    for (path, operations) in paths {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            if let Some(responses) = operation["responses"].as_object_mut() {
                errors(method, responses);
                examples(path, responses);
            }
        }
    }
}

/// Absent values are left out, so an optional field is no null either.
fn never_null(name: &str, schema: &mut Value) {
    // An index would put a null where there is no such key.
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (field, schema) in properties.into_iter().flatten() {
        if (name, field.as_str()) != NULLABLE {
            without_null(schema);
        }
    }
}

fn without_null(schema: &mut Value) {
    if let Some(types) = schema.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|one| one != "null");
        if let [one] = types.as_slice() {
            schema["type"] = one.clone();
        }
    }
    if let Some(alternatives) = schema["oneOf"].as_array_mut() {
        alternatives.retain(|one| one["type"] != "null");
    }
    if let Some(fields) = schema.as_object_mut() {
        // Indexing has made fields that were not there.
        fields.retain(|_, value| !value.is_null());
    }
}

fn errors(method: &str, responses: &mut Map<String, Value>) {
    for (status, when) in COMMON {
        let is_there = *status != "413" || method == "post";
        if is_there && !responses.contains_key(*status) {
            responses.insert((*status).to_owned(), error(when));
        }
    }
    for (status, response) in responses.iter_mut() {
        let when = WHEN.iter().chain(COMMON).find(|(known, _)| known == status);
        if let Some((_, when)) = when.filter(|_| response["description"] == "") {
            response["description"] = json!(when);
        }
        let code: u16 = status.parse().unwrap_or_default();
        let content = response.pointer_mut("/content/application~1json");
        if let Some(content) = content.filter(|_| code >= 400) {
            content["example"] = json!({"code": code, "message": message(code)});
        }
    }
}

fn error(when: &str) -> Value {
    let schema = json!({"$ref": "#/components/schemas/Error"});
    json!({"description": when, "content": {"application/json": {"schema": schema}}})
}

fn message(code: u16) -> &'static str {
    match code {
        400 => "workloadId: \"x\" is not a UUID",
        401 => "the token is not valid",
        403 => {
            "\"system:serviceaccount:team-a:dashboard\" cannot list revisions.revisor.dev in namespace \"team-b\""
        }
        404 => "workload 6f9619ff-8b86-d011-b42d-00cf4fc964ff is not known",
        405 => "this path does not take PUT; it takes GET, HEAD",
        413 => "the body is longer than 65536 bytes",
        414 => "the head of the request cannot be read: 414 URI Too Long",
        429 => "more requests a second than one caller may make",
        431 => "the head of the request cannot be read: 431 Request Header Fields Too Large",
        503 => "the first list of Revisions is not complete yet",
        _ => "this is a defect of Revisor; its log has more under this request's id",
    }
}

fn examples(path: &str, responses: &mut Map<String, Value>) {
    let example = match path.rsplit_once("inferences").map_or(path, |(_, end)| end) {
        "/{workloadId}/revisions" => json!({"revisions": [revision()]}),
        "/{workloadId}/revisions/count" => json!({"count": 1}),
        "/revisions/{revisionId}" => revision(),
        "/api/revisor/v1/workloads/{workloadId}/revisions" => {
            json!({"revisions": [revision()], "cursor": "WzEsIjBiOGU5ZjdlIl0"})
        }
        "/api/revisor/v1/workloads" => json!({"workloads": [{
            "id": WORKLOAD, "name": "llama-8b", "namespace": "team-a", "kind": "Deployment", "apiVersion": "apps/v1",
            "deleted": false, "revisions": 2, "phase": "Running", "changedAt": "2026-01-31T12:00:00.000Z",
        }]}),
        "/api/revisor/v1/namespaces" => json!({"namespaces": [{"name": "team-a", "workloads": 1}]}),
        "/api/revisor/v1/revisions/{revisionId}/diff" => {
            json!([{"op": "replace", "path": "/spec/replicas", "value": 3}])
        }
        _ => return,
    };
    let content = responses
        .get_mut("200")
        .and_then(|response| response.pointer_mut("/content/application~1json"));
    if let Some(content) = content {
        content["example"] = example;
    }
}

const WORKLOAD: &str = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";

fn revision() -> Value {
    json!({
        "type": "runai-revision", "name": "llama-8b", "id": "0b8e9f7e-0c52-5d41-8b9b-0a5d7a1b3c4d", "workloadId": WORKLOAD,
        "tenantId": 1001, "clusterId": "5c1f7a52-0d0f-4c8e-9a53-1d2f0c8b7e11", "departmentId": "default",
        "projectId": "team-a", "createdAt": "2026-01-31T12:00:00.000Z", "phase": "Running", "runningPods": 2,
        "requestedPods": {"number": 2}, "images": ["registry.example.com/vllm:2"],
        "podsRequestedResources": {
            "gpuRequestType": "portion", "gpu": {"limit": 1.0, "request": 1.0}, "cpu": {"limit": 8.0, "request": 4.0},
            "cpuMemory": {"limit": "64Gi", "request": "32Gi"},
        },
        "additionalFields": {
            "generation": 2, "kind": "Deployment", "apiVersion": "apps/v1", "namespace": "team-a", "revisionType": "Change",
            "summary": "image vllm:1\u{2192}vllm:2", "model": "org/llama-8b", "via": "kubectl", "serving": true, "latest": true,
            "changes": [{
                "path": "spec.template.spec.containers[vllm].image", "from": "registry.example.com/vllm:1",
                "to": "registry.example.com/vllm:2",
            }],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::json;
    use serde_json::Value;

    fn described() -> Value {
        serde_json::from_slice(&json()).expect("JSON")
    }

    #[test]
    fn every_path_has_the_common_errors_and_an_example() {
        let api = described();
        for (path, operations) in api["paths"].as_object().expect("paths") {
            for (method, operation) in operations.as_object().expect("methods") {
                let responses = &operation["responses"];
                for status in ["405", "414", "429", "431"] {
                    assert!(responses[status].is_object(), "{method} {path} {status}");
                }
                for (status, response) in responses.as_object().expect("responses") {
                    assert_ne!(response["description"], "", "{method} {path} {status}");
                }
            }
        }
        let list = "/paths/~1api~1v1~1workloads~1inferences~1{workloadId}~1revisions/get/responses/200/content/application~1json/example/revisions/0";
        let example = api.pointer(list).expect("an example");
        for required in api["components"]["schemas"]["Revision"]["required"]
            .as_array()
            .expect("fields")
        {
            let field = required.as_str().expect("a name");
            assert!(example.get(field).is_some(), "{field}");
        }
        assert!(api["servers"].as_array().is_some_and(|all| !all.is_empty()));
        assert!(api["tags"].as_array().is_some_and(|all| all.len() == 2));
    }

    #[test]
    fn no_field_is_null_but_the_one_of_the_contract() {
        let api = described();
        for (name, schema) in api["components"]["schemas"].as_object().expect("schemas") {
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                let is_nullable = schema.to_string().contains("\"null\"");
                assert_eq!(
                    is_nullable,
                    (name.as_str(), field.as_str()) == super::NULLABLE,
                    "{name} {field}"
                );
            }
        }
    }
}
