"""The HTML of a report; phones show it in one column, tables scroll sideways."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dnapair: {{ subject.title }}</title>
<style>
:root { --ink: #22303c; --soft: #5f6b76; --line: #e3e8ec; --blue: #0072b2; --green: #00795a; --red: #b84a00; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: var(--ink); background: #f4f6f8;
       margin: 0; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
section, header { background: #fff; border: 1px solid var(--line); border-radius: 10px; padding: 1.1rem 1.3rem;
                  margin-bottom: 1rem; }
header { border-left: 6px solid var(--blue); }
header.certain { border-left-color: #009e73; }
header.chance, header.behind { border-left-color: #d55e00; }
h1 { font-size: 1.5rem; line-height: 1.3; margin: 0 0 .4rem; }
h2 { font-size: 1.15rem; margin: 0 0 .3rem; }
p { margin: .3rem 0; }
.soft { color: var(--soft); font-size: .92rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin-top: .6rem; font-size: .94rem; }
th { text-align: left; font-size: .8rem; color: var(--soft); font-weight: 600; vertical-align: bottom; }
th, td { padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--line); }
td:first-child { min-width: 8.5rem; }
td:has(.tag) { min-width: 0; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
tr.best td { background: #f2f8fc; }
.tag { display: inline-block; min-width: 3.2rem; text-align: center; border-radius: 6px; padding: 0 .5rem;
       font-size: .8rem; font-weight: 600; color: #fff; background: var(--soft); }
.tag.pass { background: var(--green); } .tag.warn { background: #b58100; } .tag.fail { background: var(--red); }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 1rem; }
figure { margin: 0; } figure img { width: 100%; height: auto; }
/* two plots side by side */
figure:last-child { grid-column: 1 / -1; } figure:last-child img { max-width: 44rem; }
figcaption { font-size: .85rem; color: var(--soft); }
.bar { width: 140px; height: 14px; display: block; }
.bar line { stroke: var(--blue); stroke-width: 2.5; } .bar circle { fill: var(--blue); }
.bar .mark { stroke: #b9c1c8; stroke-width: 1; stroke-dasharray: 2 2; }
pre { overflow-x: auto; font-size: .8rem; background: #f4f6f8; padding: .8rem; border-radius: 8px; }
code { font-size: .82rem; overflow-wrap: anywhere; }
summary { cursor: pointer; font-weight: 600; margin-top: .6rem; }
@media (max-width: 40rem) {
  body { font-size: 15px; } section, header { padding: .9rem; } h1 { font-size: 1.25rem; }
}
</style>
</head>
<body>
<main>
<header class="{{ verdict.level }}">
<h1>{{ verdict.headline }}</h1>
{% for words in verdict.details %}
<p>{{ words }}</p>
{% endfor %}
<p class="soft">{{ subject.title }}. Every number below is of the {{ "{:,}".format(subject.pairs) }} test pairs, with its
95 % interval: {{ subject.units }}, {{ "{:,}".format(subject.draws) }} bootstrap samples.</p>
</header>

<section>
<h2>How good</h2>
<div class="scroll"><table>
<tr><th>metric</th><th class="n">value</th><th class="n">95 % interval</th><th>from 0 to 1</th>
{% if seeds %}<th class="n">{{ outcome.seeds | length }} seeds: mean &plusmn; s.d.</th>{% endif %}</tr>
{% for name in metrics %}
<tr><td>{{ names[name] }}</td><td class="n">{{ outcome.metrics[name] | number }}</td>
<td class="n">{{ outcome.intervals[name] | spell }}</td>
<td>{{ bar(outcome.metrics[name], outcome.intervals[name], 0, 1, chance.get(name)) }}</td>
{% if seeds %}<td class="n">{{ seeds[name][0] | number }} &plusmn; {{ "%.4f" | format(seeds[name][1]) }}</td>{% endif %}</tr>
{% endfor %}
</table></div>
<p class="soft">Dashed: chance. A pair is called related from {{ "%.3f" | format(subject.threshold) }} on, the threshold with the best F1 on
validation; it was computed again from the validation pairs for this report. {% if subject.temperature != 1 %}Probabilities are calibrated
by a temperature of {{ "%.3f" | format(subject.temperature) }}, fitted on validation; without it the calibration error (ECE) is
{{ outcome.uncalibrated.ece | number }} and the log loss {{ outcome.uncalibrated.log_loss | number }}.{% endif %} They are those of the data's own share of related
pairs.</p>
</section>

<section>
<h2>Better than what</h2>
<div class="scroll"><table>
<tr><th>compared with</th><th class="n">ROC-AUC</th><th class="n">PR-AUC</th><th class="n">accuracy</th><th class="n">F1</th>
<th class="n">the network's PR-AUC is greater by</th><th>&minus;0.1 to +0.5</th></tr>
{% for name, rival in outcome.baselines.items() %}
{% set gain = rival.gains.pr_auc %}
<tr{% if name == outcome.best_baseline %} class="best"{% endif %}><td title="{{ rival.about }}">{{ name }}</td>
{% for metric in compared %}<td class="n">{{ rival.metrics[metric] | number }}</td>{% endfor %}
<td class="n">{{ gain | gain }}</td><td>{{ bar(gain.estimate, (gain.low, gain.high), -0.1, 0.5, 0) }}</td></tr>
{% endfor %}
</table></div>
<details><summary>What the baselines are</summary>
{% for name, rival in outcome.baselines.items() %}
<p class="soft"><b>{{ name }}</b>: {{ rival.about }}</p>
{% endfor %}
</details>
</section>

<section>
<h2>{{ subject.framework }} against {{ subject.other }}</h2>
<p class="soft">The same specification, data, hyperparameters and seed.</p>
<div class="scroll"><table>
<tr><th>metric</th><th class="n">{{ subject.framework }}</th><th class="n">{{ subject.other }}</th><th class="n">difference</th>
<th>&minus;0.05 to +0.05</th></tr>
{% for metric in compared %}
{% set gain = outcome.other.gains[metric] %}
<tr><td>{{ names[metric] }}</td><td class="n">{{ outcome.metrics[metric] | number }}</td>
<td class="n">{{ outcome.other.metrics[metric] | number }}</td><td class="n">{{ gain | gain }}</td>
<td>{{ bar(gain.estimate, (gain.low, gain.high), -0.05, 0.05, 0) }}</td></tr>
{% endfor %}
</table></div>
</section>

<section>
<h2>Where it fails</h2>
<div class="scroll"><table>
<tr><th>slice</th><th class="n">pairs</th><th class="n">related</th><th class="n">ROC-AUC</th><th>0.5 to 1</th><th class="n">accuracy</th></tr>
{% for part in outcome.slices %}
<tr><td>{{ part.by }}: {{ part.value }}</td><td class="n">{{ "{:,}".format(part.pairs) }}</td>
<td class="n">{{ "%.1f" | format(100 * part.related / part.pairs) }} %</td>
<td class="n">{{ part.metrics.roc_auc | number }}{% if not part.mixed %}*{% endif %} ({{ part.intervals.roc_auc | spell }})</td>
<td>{{ bar(part.metrics.roc_auc, part.intervals.roc_auc, 0.5, 1, outcome.metrics.roc_auc) }}</td>
<td class="n">{{ part.metrics.accuracy | number }} ({{ part.intervals.accuracy | spell }})</td></tr>
{% endfor %}
</table></div>
<p class="soft">The dashed mark is all test pairs. {% if outcome.slices | rejectattr("mixed") | list %}* This slice holds one class alone: its ROC-AUC is against
all test pairs of the other class.{% endif %}</p>
</section>

<section>
<h2>Could it be cheating?</h2>
<div class="scroll"><table>
<tr><th></th><th>what the leakage audit looked for</th></tr>
{% for finding in subject.findings %}
<tr><td><span class="tag {{ finding.level }}">{{ finding.level }}</span></td><td>{{ finding.words }}</td></tr>
{% endfor %}
</table></div>
</section>

<section>
<h2>What the encoder read</h2>
<div class="scroll"><table>
<tr><th>split</th><th class="n">pairs</th><th class="n">related</th><th class="n">sequences</th><th class="n">k-mers</th>
<th class="n">unknown k-mers</th><th class="n">windows</th><th class="n">bases cut off</th></tr>
{% for split, token in subject.tokens.items() %}
{% set counted = subject.dataset.splits[split] %}
<tr><td>{{ split }}</td><td class="n">{{ "{:,}".format(counted.pairs) }}</td><td class="n">{{ "{:,}".format(counted.related) }}</td>
<td class="n">{{ "{:,}".format(token.sequences) }}</td><td class="n">{{ "{:,}".format(token.kmers) }}</td>
<td class="n">{{ "%.2f" | format(100 * token.unknown_share) }} %</td><td class="n">{{ "{:,}".format(token.windows) }}</td>
<td class="n">{{ "{:,}".format(token.cut_bases) }}</td></tr>
{% endfor %}
</table></div>
</section>

{% if subject.folds.folds %}
<section>
<h2>Cross-validation over groups</h2>
<p class="soft">{{ subject.folds.folds }} folds over {{ subject.folds.groups | join(", ") }}, each with its own scaler and network;
{{ "{:,}".format(subject.folds.dropped_pairs) }} pairs lie between folds and were dropped.</p>
<div class="scroll"><table>
<tr><th>fold</th><th class="n">pairs</th><th class="n">related</th>{% for metric in compared %}<th class="n">{{ names[metric] }}</th>{% endfor %}</tr>
{% for fold in subject.folds.each %}
<tr><td>{{ fold.fold }}</td><td class="n">{{ "{:,}".format(fold.pairs) }}</td><td class="n">{{ "{:,}".format(fold.related) }}</td>
{% for metric in compared %}<td class="n">{{ fold[metric] | number }}</td>{% endfor %}</tr>
{% endfor %}
<tr class="best"><td>mean &plusmn; s.d.</td><td></td><td></td>
{% for metric in compared %}<td class="n">{{ subject.folds.mean[metric] | number }} &plusmn; {{ subject.folds.std[metric] | number }}</td>{% endfor %}</tr>
</table></div>
</section>
{% endif %}

<section>
<h2>Plots</h2>
<div class="figures">
{% for words, png in figures %}
<figure><img alt="{{ words }}" src="data:image/png;base64,{{ png }}"></figure>
{% endfor %}
</div>
</section>

<section>
<h2>To do it again</h2>
<div class="scroll"><table>
{% for what, digest in subject.hashes.items() %}
<tr><td>{{ what }}</td><td><code>{{ digest }}</code></td></tr>
{% endfor %}
</table></div>
<details><summary>Settings (params.yaml)</summary><pre>{{ settings }}</pre></details>
</section>
</main>
</body>
</html>
"""
