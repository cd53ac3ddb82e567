// The types of Linkspan's own library for address books, which is JavaScript.

declare module "@linkspan/address-book" {
    export interface Request {
        method: string;
        path: string;
        body?: string;
    }
    export function phoneNumber(number: string): string;
    export function email(address: string): string;
    export function callWith(baseUrl: string, accessToken: string): (request: Request) => Promise<{ status: number; body: Uint8Array }>;
    export function findPeople(
        book: Iterable<string>,
        call: (request: Request) => Promise<{ status: number; body: Uint8Array }>,
    ): Promise<{ address: string; userId: string }[]>;
    export class MatchingError extends Error {
        status?: number;
    }
}
