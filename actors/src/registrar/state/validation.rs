//! Validations by async rules: they are begun in the order of the batcher, run as tasks, and their verdicts are taken in.

use super::State;
use crate::{
    agent::Timestamp,
    registrar::{
        Request, Stage, Submission,
        judging::{Found, Judging, Trial},
        waiters::Effects,
    },
};

impl State {
    /// Begins as many validations as may run.
    pub(super) fn begin_validations(&mut self, now: Timestamp, effects: &mut Effects) {
        while self.judging.as_ref().is_some_and(Judging::has_room)
            && let Some(number) = self.batcher.validate(now)
        {
            self.begin_validation(number, now, effects);
        }
    }

    fn begin_validation(&mut self, number: u64, now: Timestamp, effects: &mut Effects) {
        if let (Some(judging), Some(submission)) = (&mut self.judging, self.batcher.in_validation(number)) {
            effects.trials.push(judging.begin(number, &submission.request, now));
        }
    }

    /// Notes what a task found. Answers whether the registrar has to be told to take it in.
    pub(in crate::registrar) fn report(&mut self, task: u64, found: Found) -> bool {
        self.judging.as_mut().is_some_and(|judging| judging.report(task, found))
    }

    /// The validations that are still to be run: others were given up in the step that began them.
    pub(in crate::registrar) fn wanted(&self, mut trials: Vec<Trial>) -> Vec<Trial> {
        trials.retain(|trial| self.judging.as_ref().is_some_and(|judging| judging.is_wanted(trial.task)));
        trials
    }

    /// Notes that a task runs.
    pub(in crate::registrar) fn runs(&mut self, task: u64, abort: tokio::task::AbortHandle) {
        if let Some(judging) = &mut self.judging {
            judging.runs(task, abort);
        }
    }

    /// Takes in what tasks found; what was lost is begun anew.
    pub(super) fn take_verdicts(&mut self, now: Timestamp, effects: &mut Effects) {
        let Some(judging) = &mut self.judging else { return };
        let before = self.batcher.ready();
        for (number, found) in judging.take_reports() {
            match found {
                Some(Ok(())) => {
                    if let Some(submission) = self.batcher.validated(number, now) {
                        submission.payload.is_valid = true;
                    }
                }
                Some(Err(reason)) => self.refuse_validating(number, reason, now, effects),
                None => self.begin_validation(number, now, effects),
            }
        }
        self.parallelism.arrived(self.batcher.ready().saturating_sub(before), now);
    }

    pub(super) fn refuse_validating(
        &mut self,
        number: u64,
        reason: String,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        let id = self.batcher.in_validation(number).map(|submission| submission.request.id);
        if let Some(Submission { request, payload }) =
            id.and_then(|id| self.batcher.withdraw(id, Stage::Failed))
        {
            self.fail_unbatched(request, &payload, reason, now, effects);
        }
    }

    /// Ends a request that was taken out before it came into a batch.
    pub(super) fn fail_unbatched(
        &mut self,
        mut request: Request,
        payload: &super::Payload,
        reason: String,
        now: Timestamp,
        effects: &mut Effects,
    ) {
        self.stop_validation(payload.number, effects);
        request.refuse(reason, now);
        self.write_ended(&request, now);
        self.end(request, payload.seat, now, effects);
    }

    /// Breaks the validation of the request of this number off, if it is under way.
    pub(super) fn stop_validation(&mut self, number: u64, effects: &mut Effects) {
        effects.aborts.extend(self.judging.as_mut().and_then(|judging| judging.stop(number)));
    }

    /// For a new incarnation: takes in what was found, and begins anew what never ran.
    pub(super) fn validate_again(&mut self, now: Timestamp, effects: &mut Effects) {
        let (never_ran, unwanted) = self.judging.as_mut().map(Judging::never_ran).unwrap_or_default();
        for number in never_ran {
            self.begin_validation(number, now, effects);
        }
        effects.aborts.extend(unwanted);
        self.take_verdicts(now, effects);
        self.begin_validations(now, effects);
    }

    /// Ends the tasks of all validations as the end of their arbiter does.
    #[cfg(test)]
    pub(in crate::registrar) fn abort_validations(&self) {
        self.judging.iter().for_each(Judging::abort_all);
    }
}
