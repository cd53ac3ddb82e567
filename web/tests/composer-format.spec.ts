// What people type, as HTML.

import { expect, test } from "@playwright/test";

import { mentionsIn, toHtml } from "../src/composer/format.ts";

const CASES: Record<string, string | undefined> = {
    "just words": undefined,
    "two\nlines": undefined,
    "2 * 3 * 4 and snake_case_name": undefined,
    "a < b & c": undefined,
    "*bold* and **bold**, _slanted_, ~gone~": "<strong>bold</strong> and <strong>bold</strong>, <em>slanted</em>, <del>gone</del>",
    "*both _of_ them*": "<strong>both <em>of</em> them</strong>",
    "`*as typed*`": "<code>*as typed*</code>",
    "see ```*as typed*```": "see <code>*as typed*</code>",
    "*a <b> c*": "<strong>a &#60;b&#62; c</strong>",
    "https://example.org/a_b_c *now*": "https://example.org/a_b_c <strong>now</strong>",
    "```\nlet a = *b*;\n```": "<pre><code>let a = *b*;\n</code></pre>",
    "```rust\nfn\n```\nafter": '<pre><code class="language-rust">fn\n</code></pre>after',
    "```open": undefined,
    "> said\n> *twice*\nanswer": "<blockquote>said<br><strong>twice</strong></blockquote>answer",
    "- milk\n- *two* eggs": "<ul><li>milk</li><li><strong>two</strong> eggs</li></ul>",
    "3. three\n4. four": '<ol start="3"><li>three</li><li>four</li></ol>',
    "***": undefined,
    "<script>alert(1)</script> *x*": "&#60;script&#62;alert(1)&#60;/script&#62; <strong>x</strong>",
    "```\"><img src=x>\nx\n```": "<pre><code>x\n</code></pre>",
};

for (const [text, html] of Object.entries(CASES)) {
    test(`${JSON.stringify(text)} as HTML`, () => expect(toHtml(text)).toBe(html));
}

test("a name is a link to its person, and the longer of two names is meant", () => {
    const mentions = [
        { text: "@Anna", userId: "@anna:a.example" },
        { text: "@Anna Berg", userId: "@berg:b.example" },
    ];
    const link = (userId: string, name: string) => `<a href="https://matrix.to/#/${encodeURIComponent(userId)}">${name}</a>`;
    expect(toHtml("@Anna Berg and @Anna", mentions)).toBe(`${link("@berg:b.example", "Anna Berg")} and ${link("@anna:a.example", "Anna")}`);
    expect(mentionsIn("@Anna Berg!", mentions).map(({ userId }) => userId)).toEqual(["@berg:b.example"]);
});
