//! The words by which a name of a secret is told from other names. Data only.

/// A name with one of these words holds a secret.
pub(super) const SECRET: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "pwd",
    "secret",
    "secrets",
    "credential",
    "credentials",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "authtoken",
    "accesstoken",
    "jwt",
    "cookie",
    "bearer",
];

/// A name that ends in one of these tells where a secret is, not what it is.
pub(super) const POINTER: &[&str] = &[
    "name", "names", "ref", "refs", "path", "paths", "file", "dir", "mount", "enabled", "optional",
];

/// A `key` after one of these words is a secret.
pub(super) const KEY_OF: &[&str] = &[
    "api",
    "access",
    "private",
    "secret",
    "signing",
    "encryption",
    "auth",
    "license",
    "account",
    "ssh",
    "master",
    "session",
];

/// A `key` after one of these is that of a service; so is one that is a variable's, unless it is one of [`HARMLESS`].
pub(super) const SERVICES: &[&str] = &[
    "openai",
    "anthropic",
    "hf",
    "huggingface",
    "aws",
    "azure",
    "gcp",
    "google",
    "gemini",
    "nvidia",
    "ngc",
    "nim",
    "mistral",
    "cohere",
    "groq",
    "together",
    "fireworks",
    "replicate",
    "deepseek",
    "openrouter",
    "wandb",
    "comet",
    "langchain",
    "langsmith",
    "pinecone",
    "qdrant",
    "weaviate",
    "tavily",
    "serper",
    "datadog",
    "dd",
    "sentry",
    "stripe",
];

/// Keys of these kinds find something, or are meant to be seen.
pub(super) const HARMLESS: &[&str] = &[
    "public",
    "cache",
    "partition",
    "routing",
    "primary",
    "foreign",
    "sort",
    "hash",
    "group",
    "index",
    "topology",
    "label",
    "map",
    "row",
    "object",
    "lookup",
    "config",
    "feature",
    "node",
    "shard",
    "dedup",
    "message",
    "kv",
    "any",
    "taint",
    "toleration",
    "pool",
    "unique",
    "search",
    "page",
    "metric",
    "tag",
    "idempotency",
    "prefix",
    "field",
];

/// A `pass` after one of these words is a password.
pub(super) const PASS_OF: &[&str] = &[
    "db", "database", "redis", "mysql", "postgres", "pg", "mongo", "smtp", "ftp", "ldap", "admin",
    "root", "user", "proxy", "http", "basic", "auth", "registry",
];

/// Words that end in one of these are written without anything between: `PGPASSWORD`.
pub(super) const FUSED: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "credential",
    "credentials",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
];

/// A `token` beside one of these words is a piece of text, not a secret.
pub(super) const TEXT: &[&str] = &[
    "max",
    "min",
    "num",
    "per",
    "id",
    "ids",
    "limit",
    "len",
    "length",
    "count",
    "size",
    "budget",
    "batch",
    "special",
    "added",
    "eos",
    "bos",
    "pad",
    "unk",
    "mask",
    "sep",
    "cls",
    "stop",
    "image",
    "chat",
    "think",
    "type",
    "rate",
    "throughput",
    "usage",
];

/// `tokens` after one of these words are secrets; otherwise they are pieces of text.
pub(super) const TOKENS_OF: &[&str] = &["auth", "access", "refresh", "api", "bearer", "secret"];

/// Every word of the lists above that makes a name secret has one of these in it.
pub(super) const HINTS: &[&str] = &[
    "pass",
    "pwd",
    "secret",
    "credential",
    "key",
    "token",
    "jwt",
    "cookie",
    "bearer",
    "auth",
];
