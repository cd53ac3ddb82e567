// Shows what came since the page was loaded, and when: the machine's clock is the reader's.
function tellTimes() {
    for (const time of document.querySelectorAll("time")) {
        time.textContent = new Date(Number(time.dataset.ts)).toLocaleTimeString();
    }
}

tellTimes();
new EventSource("/news").onmessage = async () => {
    const text = await (await fetch("/")).text();
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    document.querySelector("main").replaceWith(document.adoptNode(fresh));
    tellTimes();
};
