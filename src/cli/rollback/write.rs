//! The write of a rollback, and everything around it: the dry run, the difference, the question, the hand-back.

use super::super::live::{Answer, JSON_PATCH, send};
use super::super::streams::Streams;
use super::plan::Plan;
use super::{DryRun, Rollback, difference, refs, repo, scalers, told, wait};
use crate::history::kept::content;
use crate::history::managed::{HandBack, MANAGER, hand_back, writer_since};
use crate::manifest::Manifest;
use anyhow::{Context, bail};
use http::Method;
use serde_json::{Value, json};

/// A workload whose status is written all the time may have its generation moved by that, too; an editor may not be
/// overwritten however often he writes.
const TRIES: usize = 5;

impl Rollback<'_> {
    /// Writes the old content over the live object.
    pub(super) async fn write(&self, live: Value, streams: &mut Streams) -> anyhow::Result<u8> {
        let plan = self.plan(&live);
        if plan.is_done() {
            return self.nothing_to_do("is at", streams);
        }
        if let Some(file) = &self.args.repo_file {
            let path = file.display().to_string();
            let text = std::fs::read_to_string(file).with_context(|| path.clone())?;
            streams.print(&self.applicable(repo::file_patch(&path, &text, &plan)?))?;
            return Ok(0);
        }
        let tried = self.tried(live, plan).await?;
        if content(&tried.after) == content(&tried.live) {
            return self.nothing_to_do("holds the same as", streams);
        }
        self.preview(&tried, streams).await?;
        if self.args.dry_run != DryRun::None {
            streams.note("Nothing was changed (dry run).")?;
            return Ok(0);
        }
        let target = self.found.target();
        let namespace = &self.place.namespace;
        let question = format!(
            "Roll back {target} in {namespace} to revision {}?",
            self.generation()
        );
        if !self.confirm(&question, streams)? {
            return Ok(1);
        }
        let (before, answer) = self.patched(tried.live, tried.plan).await?;
        for warning in &answer.warnings {
            streams.warn(&self.hidden(warning))?;
        }
        let generation = answer.body["metadata"]["generation"]
            .as_i64()
            .unwrap_or_default();
        let revision = self.generation();
        streams.print(&format!(
            "{target} rolled back to revision {revision} (generation {generation})\n"
        ))?;
        if let Some(problem) = self.handed_back(&before, answer.body).await? {
            streams.warn(&problem)?;
        }
        if self.args.wait {
            wait::wait(self, generation, streams).await
        } else {
            Ok(0)
        }
    }

    fn nothing_to_do(&self, how: &str, streams: &mut Streams) -> anyhow::Result<u8> {
        let target = self.found.target();
        streams.print(&format!(
            "{target} {how} revision {} already: nothing to do\n",
            self.generation()
        ))?;
        Ok(0)
    }

    /// Carries the plan out as a dry run, where that is possible. When the object moved meanwhile, it is looked at again:
    /// nothing was shown so far.
    async fn tried(&self, live: Value, plan: Plan) -> anyhow::Result<Tried> {
        if self.args.dry_run == DryRun::Client || self.args.skip_dry_run {
            let after = plan.desired.clone();
            return Ok(Tried {
                live,
                plan,
                after,
                warnings: Vec::new(),
            });
        }
        let mut before = Value::Null;
        let mut live = live;
        let mut plan = plan;
        for _ in 0..TRIES {
            let answer = self.send(&plan, true).await?;
            if answer.is_success() {
                let Answer { body, warnings, .. } = answer;
                return Ok(Tried {
                    live,
                    plan,
                    after: body,
                    warnings,
                });
            }
            if !is_moved(&answer) {
                return Err(self.refused(&answer, "is refused"));
            }
            before = std::mem::replace(&mut live, self.read_again().await?);
            plan = self.plan(&live);
        }
        Err(self.edited(&before, &live))
    }

    /// Shows what will change.
    async fn preview(&self, tried: &Tried, streams: &mut Streams) -> anyhow::Result<()> {
        let Tried {
            live,
            plan,
            after,
            warnings,
        } = tried;
        let mut notes = told::of_plan(plan, live);
        if !plan.kept.is_empty() || self.args.restore_replicas {
            notes.extend(scalers::scalers(&self.scene.session, &self.place).await?);
        }
        notes.extend(refs::missing(&self.scene.session, &self.place.namespace, &self.old).await?);
        notes.extend(
            warnings
                .iter()
                .map(|it| format!("the API server says: {}", self.hidden(it))),
        );
        notes.extend(told::of_answer(&plan.desired, after));
        for note in &notes {
            streams.warn(note)?;
        }
        let [before, after] = [live, after].map(|it| Manifest::live(it.clone(), &self.revision));
        let titles = [
            "now",
            &format!("after the rollback to revision {}", self.generation()),
        ];
        let text = difference(before, after, titles, self.scene.settings.names.as_ref())?;
        if text.is_empty() {
            streams.note("The content differs in words and order only, not in what it means.")?;
        }
        Ok(streams.print(&streams.painted(&text))?)
    }

    async fn send(&self, plan: &Plan, is_dry: bool) -> anyhow::Result<Answer> {
        let dry = if is_dry { "&dryRun=All" } else { "" };
        let path = format!("{}?fieldManager={MANAGER}{dry}", self.place.path());
        send(
            &self.scene.session,
            Method::PATCH,
            &path,
            Some(JSON_PATCH),
            &plan.patch(),
        )
        .await
    }

    /// Why a write is refused, for people.
    pub(super) fn refused(&self, answer: &Answer, how: &str) -> anyhow::Error {
        let message = answer.message();
        match answer.code {
            401 | 403 => self.place.refused(&self.scene.session, "patch", answer),
            400 if message.contains("dry run") => anyhow::anyhow!(
                "a webhook takes no dry runs, so what it does cannot be shown; --skip-dry-run goes on without: {}",
                crate::text::cut(message, 1000)
            ),
            _ => {
                let why = told::refusal(message, &answer.causes());
                anyhow::anyhow!(
                    "the rollback to revision {} {how}: {}",
                    self.generation(),
                    self.hidden(&why)
                )
            }
        }
    }

    /// Carries the plan out. When the object moved meanwhile and its content did not, the same is planned anew. The
    /// object before the write, and the answer.
    async fn patched(&self, live: Value, plan: Plan) -> anyhow::Result<(Value, Answer)> {
        let approved = content(&live);
        let mut live = live;
        let mut plan = plan;
        for _ in 0..TRIES {
            let answer = self.send(&plan, false).await?;
            if answer.is_success() {
                return Ok((live, answer));
            }
            if !is_moved(&answer) {
                return Err(self.refused(&answer, "was refused"));
            }
            let now = self.read_again().await?;
            self.is_same(&live, &now, &approved)?;
            plan = self.plan(&now);
            live = now;
        }
        bail!(
            "{} moves faster than it can be written; nothing was changed",
            self.found.target()
        )
    }

    async fn read_again(&self) -> anyhow::Result<Value> {
        let now = self.place.read(&self.scene.session).await?;
        now.with_context(|| format!("{} was deleted meanwhile", self.found.target()))
    }

    fn edited(&self, before: &Value, now: &Value) -> anyhow::Error {
        let by = writer_since(before, now).unwrap_or_else(|| "somebody".to_owned());
        anyhow::anyhow!(
            "{} was edited meanwhile by {by}; nothing was changed. See it with `kubectl revisor diff --live`, and try again",
            self.found.target()
        )
    }

    fn is_same(
        &self,
        before: &Value,
        now: &Value,
        approved: &serde_json::Map<String, Value>,
    ) -> anyhow::Result<()> {
        let target = self.found.target();
        if before["metadata"]["uid"] != now["metadata"]["uid"] {
            bail!("{target} was deleted and made anew meanwhile; nothing was changed");
        }
        if content(now) != *approved {
            return Err(self.edited(before, now));
        }
        Ok(())
    }

    /// Hands fields that came back to the manager that applies the workload. A sentence when that was not possible.
    async fn handed_back(
        &self,
        before: &Value,
        mut after: Value,
    ) -> anyhow::Result<Option<String>> {
        for _ in 0..TRIES {
            let (entries, manager) = match hand_back(before, &after) {
                HandBack::Nothing => return Ok(None),
                HandBack::Unclear(managers) => {
                    return Ok(Some(format!(
                        "fields that came back belong to {MANAGER} now, as several managers apply this workload ({}): their next apply does not remove them",
                        managers.join(", ")
                    )));
                }
                HandBack::Fields(entries, manager) => (entries, manager),
            };
            let patch = json!([
                {"op": "test", "path": "/metadata/uid", "value": after["metadata"]["uid"]},
                {"op": "test", "path": "/metadata/resourceVersion", "value": after["metadata"]["resourceVersion"]},
                {"op": "replace", "path": "/metadata/managedFields", "value": entries},
            ]);
            let path = format!("{}?fieldManager={MANAGER}", self.place.path());
            let answer = send(
                &self.scene.session,
                Method::PATCH,
                &path,
                Some(JSON_PATCH),
                &patch,
            )
            .await?;
            if answer.is_success() {
                return Ok(None);
            }
            match self.place.read(&self.scene.session).await? {
                Some(now) if matches!(answer.code, 409 | 422) => after = now,
                _ => return Ok(Some(not_handed_back(&manager))),
            }
        }
        Ok(Some(not_handed_back(
            "the manager that applies this workload",
        )))
    }
}

fn not_handed_back(manager: &str) -> String {
    format!(
        "fields that came back could not be handed to {manager}: its next apply does not remove them"
    )
}

/// A plan that was tried.
struct Tried {
    /// The workload as it is now.
    live: Value,
    plan: Plan,
    /// The workload as the API server would store it.
    after: Value,
    /// The API server's warnings.
    warnings: Vec<String>,
}

/// Whether an answer says that a test of the patch failed: it names no field.
fn is_moved(answer: &Answer) -> bool {
    answer.code == 409 || (answer.code == 422 && answer.causes().is_empty())
}
