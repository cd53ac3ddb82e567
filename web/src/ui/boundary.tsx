// Keeps a part of the window that fails from taking the others with it.

import { Component, type ComponentChildren } from "preact";

import { words } from "../words";

interface BoundaryProps {
    children: ComponentChildren;
    /** Where the window is. At another place the part is tried again by itself. */
    place?: string;
}

interface BoundaryState {
    failedAt?: string | undefined;
    hasFailed: boolean;
}

export class Boundary extends Component<BoundaryProps, BoundaryState> {
    override state: BoundaryState = { hasFailed: false };

    override componentDidCatch(error: unknown): void {
        console.error(error);
        this.setState({ hasFailed: true, failedAt: this.props.place });
    }

    render({ children, place }: BoundaryProps, { hasFailed, failedAt }: BoundaryState) {
        if (!hasFailed || failedAt !== place) return children;
        return (
            <div class="broken-pane" role="alert">
                <p>{words("broken")}</p>
                <button class="primary" onClick={() => this.setState({ hasFailed: false })}>
                    {words("broken.again")}
                </button>
            </div>
        );
    }
}
