"""The frame of a page of checks, such as reports/validation.html: without scripts or need of a network."""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>dnapair: {{ title | e }}</title>
<style>
body { font: 16px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #22303c; background: #f4f6f8;
       margin: 0; }
main { max-width: 62rem; margin: 2rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.6rem; margin: 0; }
h1 + p, .about { color: #5f6b76; margin: .25rem 0 0; }
header, .ge-section { background: #fff; border: 1px solid #dde3e8; border-radius: 10px;
                      padding: 1.25rem 1.5rem; margin-bottom: 1.25rem; }
header.passed { border-left: 6px solid #009e73; }
header.failed { border-left: 6px solid #d55e00; }
h5 { font-size: 1.1rem; margin: 0; }
h6 { font-size: .95rem; font-weight: normal; color: #5f6b76; margin: .15rem 0 .75rem; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-size: .8rem; color: #5f6b76; font-weight: 600; }
th, td { padding: .5rem .75rem .5rem 0; border-bottom: 1px solid #e6eaed; vertical-align: top; }
tr:last-child > td { border-bottom: 0; }
td:first-child { width: 3.5rem; }
td:last-child { width: 19rem; font-variant-numeric: tabular-nums; }
td table { width: auto; margin-top: .5rem; font-size: .85rem; }
td table th, td table td, td table td:last-child { padding: .15rem 1.5rem .15rem 0; width: auto; border: 0; }
.audit td:nth-child(2) { width: 10rem; }
.audit td:last-child { width: auto; overflow-wrap: anywhere; }
td.pass { color: #00795a; }
td.warn, td.fail { color: #b84a00; font-weight: bold; }
td br { display: none; }
td strong { display: block; font-weight: normal; }
.text-danger { color: #b84a00; }
.fas::before { font-style: normal; font-weight: bold; }
.fa-check-circle::before { content: "\\2713"; color: #00795a; }
.fa-times::before { content: "\\2717"; color: #d55e00; }
footer { color: #5f6b76; font-size: .85rem; margin-bottom: 2rem; }
@media (max-width: 40rem) {
  body { font-size: 15px; }
  main { margin: 1rem auto; padding: 0 .75rem; }
  header, .ge-section { padding: .9rem; }
  /* what was observed stands below what was expected */
  main tr { display: grid; grid-template-columns: 3.5rem minmax(0, 1fr); border-bottom: 1px solid #e6eaed; }
  main th, main td, .audit td:last-child { width: auto; padding: .15rem 0; border: 0; }
  main td { overflow-wrap: anywhere; }
  main tr > :nth-child(n + 3) { grid-column: 2; color: #5f6b76; }
  main td table tr { display: table-row; border: 0; }
}
</style>
</head>
<body>
<main>
<header class="{{ "failed" if failures else "passed" }}">
<h1>{{ heading | e }}</h1>
<p>{{ about | e }}</p>
{%- if failures %}
<ul>
{%- for failure in failures %}
<li>{{ failure | e }}</li>
{%- endfor %}
</ul>
{%- endif %}
</header>
{%- for section in sections %}
{%- set section_loop = loop %}
{% include "section.j2" %}
{%- endfor %}
{%- if findings %}
<section class="ge-section audit">
<h5>What the splits give away to each other</h5>
<h6>The audit: pass, info, warn, or fail, which stops the pipeline.</h6>
<table>
<tr><th>Level</th><th>Check</th><th>What was found</th></tr>
{%- for finding in findings %}
<tr><td class="{{ finding.level }}">{{ finding.level }}</td><td>{{ finding.check | replace("_", " ") }}</td>
<td>{{ finding.words | e }}
{%- if finding.level != "pass" %} {{ finding.remedy | e }}{% endif %}</td></tr>
{%- endfor %}
</table>
</section>
{%- endif %}
<footer>Checked and rendered with Great Expectations {{ ge_version }}.</footer>
</main>
</body>
</html>
"""
