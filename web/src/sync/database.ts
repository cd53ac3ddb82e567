// What all who keep something in the browser's databases need.

/** What a database answers. */
export function answer<Value>(request: IDBRequest<Value>): Promise<Value> {
    return new Promise((done, fail) => {
        request.onsuccess = () => done(request.result);
        request.onerror = () => fail(request.error!);
    });
}

/** Resolves when all that a transaction changes is on the disk. */
export function ended(transaction: IDBTransaction): Promise<void> {
    return new Promise((done, fail) => {
        transaction.oncomplete = () => done();
        transaction.onerror = transaction.onabort = () => fail(transaction.error!);
    });
}
