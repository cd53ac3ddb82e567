// Comparing what people type with names.

/** Letters without their marks, so that somebody finds "Chloé" who types "chloe". */
export const plain = (text: string) => text.normalize("NFD").replace(/\p{M}/gu, "").toLocaleLowerCase();
