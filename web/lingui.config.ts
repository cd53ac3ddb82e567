import { defineConfig } from "@lingui/conf";
import { formatter } from "@lingui/format-json";

export default defineConfig({
    sourceLocale: "en",
    locales: ["en", "fr"],
    catalogs: [{ path: "<rootDir>/src/words/{locale}" }, { path: "<rootDir>/src/console/words/{locale}" }],
    format: formatter({ style: "minimal" }),
});
