"""The style sheet of the HTML page."""

from __future__ import annotations

from pytest_tinybudget.report import svg


#: Colors of a stacked bar's parts: light, then dark; a number in each says the same.
_LIGHT = ("#bcd7f5", "#f6c9a4", "#bfe3c0", "#e3c7ef", "#f3e08f", "#c4dfe2", "#f2bcc7", "#d3d7dc")
_DARK = ("#274b73", "#6b4320", "#26532c", "#533166", "#5f5312", "#24525a", "#6d2c3a", "#424a55")


def _part_rules(colors: tuple[str, ...]) -> str:
    return "".join(f".c{place}{{background:{color}}}" for place, color in enumerate(colors))


STYLE = (
    f":root{{color-scheme:light dark;{svg.LIGHT}}}{_part_rules(_LIGHT)}"
    f"{svg.RULES}@media(prefers-color-scheme:dark){{:root{{{svg.DARK}}}{_part_rules(_DARK)}}}"
    """
*{box-sizing:border-box}
body{margin:0 auto;max-width:78rem;padding:1.5rem 1.25rem 3rem;background:var(--paper);
color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.6rem;margin:0}h2{font-size:1.2rem;margin:2rem 0 .6rem}
h3{font-size:1.05rem;margin:0;display:inline}h4{font-size:.95rem;margin:1.4rem 0 .4rem}
p{margin:.4rem 0}ul{margin:.4rem 0;padding-left:1.3rem}code{font:.88em ui-monospace,monospace;
overflow-wrap:anywhere}a{color:var(--link)}
.lead{font-size:1.1rem;font-weight:600}.good{color:var(--good)}.warn{color:var(--warn)}
.bad{color:var(--bad)}.soft,.note,footer,figcaption{color:var(--soft)}
.soft{font-weight:400}footer{margin-top:2.5rem;border-top:1px solid var(--line);font-size:.85rem}
blockquote{margin:.4rem 0;padding-left:.8rem;border-left:3px solid var(--line)}
.skip{position:absolute;left:-99rem}.skip:focus{position:static}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.87rem;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top}
thead th{color:var(--soft);font-weight:600;white-space:nowrap}caption{text-align:left;
font-weight:600;padding:.3rem 0}
.matrix td{min-width:12.5rem}.matrix th[scope=row]{position:sticky;left:0;
background:var(--paper);min-width:8rem;max-width:14rem;overflow-wrap:anywhere}.none{color:var(--soft)}
.what{display:flex;flex-wrap:wrap;justify-content:space-between;gap:0 .8rem;margin-top:.35rem}
.size{display:block}.size{color:var(--soft);font-size:.82rem}
.delta{font-weight:600}
.bar{display:block;height:.6rem;border:1px solid var(--keep-edge);border-radius:3px;
background:var(--panel);overflow:hidden}
.bar i{display:block;height:100%;background:var(--tensor-edge)}
.bar.over{border-color:var(--bad)}.bar.over i{background:repeating-linear-gradient(45deg,
var(--bad) 0 6px,var(--peak) 6px 10px)}
.model{border:1px solid var(--line);border-radius:8px;margin:.8rem 0;padding:.2rem 1rem;
background:var(--paper)}.model[open]{padding-bottom:1rem}
summary{cursor:pointer;padding:.5rem 0}.model>summary span{color:var(--soft);font-size:.87rem}
figure{margin:.6rem 0}figcaption{font-size:.82rem}.arena{display:block;width:100%;min-width:44rem;
height:auto}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr));gap:0 2rem;
align-items:start}
.parts{width:100%;margin:.6rem 0}.parts td:nth-child(n+3):nth-child(-n+4),
.layers td:nth-child(n+4),.diff td{text-align:right;white-space:nowrap}
.parts td,.parts th{padding:.2rem .5rem}.parts td:first-child{text-align:center}
.stack{display:flex;height:1.5rem;margin-top:.4rem;border:1px solid var(--keep-edge);
border-radius:3px;overflow:hidden}
.stack i{overflow:hidden;font:600 .75rem/1.4rem system-ui,sans-serif;text-align:center;
border-right:1px solid var(--paper);min-width:1px}
.layers .at{background:var(--panel)}.layers th[scope=row]{white-space:nowrap;font-weight:400}
.layers .at th{font-weight:700}.layers td:nth-child(2){overflow-wrap:anywhere;min-width:12rem}
@media(max-width:40rem){body{padding:1rem .75rem}.matrix th[scope=row]{position:static}}
@media print{details>*{display:block}}
""".replace("\n", "")
)
