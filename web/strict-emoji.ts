// Has the emoji picker keep to the page's security policy, which allows no styles that are not files or made by script.

import type { Plugin } from "vite";

/** What the picker does, and what it does instead. */
const CHANGES = [
    {
        from: "targetNode.setAttribute(attributeName, newValue);",
        to: "attributeName === 'style' ? (targetNode.style.cssText = newValue) : targetNode.setAttribute(attributeName, newValue);",
    },
    {
        from: /const style = document\.createElement\('style'\);\s*style\.textContent = (.+);\s*this\.shadowRoot\.appendChild\(style\);/,
        to: "const style = new CSSStyleSheet(); style.replaceSync($1); this.shadowRoot.adoptedStyleSheets = [style];",
    },
];

export function strictEmoji(): Plugin {
    return {
        name: "strict-emoji",
        transform(code, id) {
            if (!id.includes("emoji-picker-element/picker.js")) return undefined;
            for (const { from, to } of CHANGES) {
                const changed = code.replace(from, to);
                if (changed === code) throw new Error("the emoji picker has changed: look at how it sets its styles");
                code = changed;
            }
            return { code, map: null };
        },
    };
}
