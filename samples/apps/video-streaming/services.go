package main

import (
	"context"
	"log/slog"

	"k8s.io/client-go/rest"

	"github.com/akri-go/akri/samples/services"
)

// watch tells which feeds there are, now and whenever that changes, until ctx is
// done; and why it is not known, while the API server does not say.
func watch(ctx context.Context, cfg *rest.Config, s settings, tell func([]source, error), log *slog.Logger) error {
	return services.Watch(ctx, cfg, s.namespace, s.configuration, func(list []services.Source, problem error) {
		var feeds []source
		for _, s := range list {
			feeds = append(feeds, source{s.ID, s.Address})
		}
		tell(feeds, problem)
	}, log)
}
