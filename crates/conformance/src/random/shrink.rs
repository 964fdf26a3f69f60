//! Making a program smaller as long as it still shows what it was kept for.

use crate::lang::Scenario;

/// The smallest program found by leaving out steps for which `differs` still holds. The first `keep`
/// steps stay: they make the surroundings that the others are safe in.
///
/// Whole runs of steps are tried before single ones; it ends when no single step can go.
pub fn shrink(program: &Scenario, keep: usize, differs: &dyn Fn(&Scenario) -> bool) -> Scenario {
    let mut best = program.clone();
    let mut width = (best.steps.len().saturating_sub(keep) / 2).max(1);
    loop {
        let mut smaller = false;
        let mut start = keep;
        while start < best.steps.len() {
            let end = (start + width).min(best.steps.len());
            let mut candidate = best.clone();
            candidate.steps.drain(start..end);
            if is_program(&candidate) && differs(&candidate) {
                best = candidate;
                smaller = true;
            } else {
                start += width;
            }
        }
        match (width, smaller) {
            (1, false) => return best,
            (1, true) => {}
            _ => width = (width / 2).max(1),
        }
    }
}

/// Whether every actor is born before it acts and every descriptor named has a step that names it.
fn is_program(candidate: &Scenario) -> bool {
    let actors = candidate.actors();
    let descriptors = candidate.descriptors();
    !candidate.steps.is_empty()
        && candidate.steps.iter().all(|step| {
            let text = step.call.to_string();
            let mut words = text.split(['/', ' ']);
            actors.contains(&step.actor.as_str())
                && words.all(|word| match word.strip_prefix('@') {
                    Some(name) => descriptors.contains(&name),
                    None => !matches!(word, "b" | "c" | "d" | "e") || actors.contains(&word),
                })
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lang::parse_scenarios;

    #[test]
    fn only_what_is_needed_remains() {
        let text =
            "scenario x\n a fork b = 0\n a ids = 0\n b ids = 0\n a hostname = 0\n b hostname = 0";
        let all = parse_scenarios("t", text).unwrap();
        let wanted = |program: &Scenario| {
            program.steps.iter().any(|step| step.actor == "b" && step.call.word() == "hostname")
        };
        let small = shrink(&all[0], 0, &wanted);
        let steps: Vec<String> = small.steps.iter().map(ToString::to_string).collect();
        assert_eq!(steps, ["a  fork b", "b  hostname"]);
    }
}
